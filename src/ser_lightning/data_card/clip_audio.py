"""Measurements of the audio of each clip: length, level, bandwidth, clipping and speech."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.reader import to_mono
from ser_lightning.audio.vad import detect
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.content import Progress, cached_contents
from ser_lightning.data.json_cache import cache_file, read_cached, write_cached
from ser_lightning.errors import InputError
from ser_lightning.recording_conditions import FRAME_MS, SPECTRUM, levels_db, power_spectrum, whole_frames
from ser_lightning.splits.near_duplicates import Contents

FORMAT = 2  # increase it when the same files give different measurements
FULL_SCALE = 1 - 2**-15  # the largest sample of 16 bits
VAD_MODE, VAD_RATE = 2, 16000  # speech detection as in audio=webrtc
ROLLOFF = 0.95  # share of the power below the roll-off frequency


class ClipAudio(NamedTuple):
    """Measurements of one clip.

    Args:
        seconds: length
        sampling_rate: Hz
        channels: number of channels
        clipped: share of the samples at full scale
        voiced: share of the 20 ms frames in which WebRTC's detector (mode 2) finds speech
        rms_db: root mean square level, dBFS
        noise_floor_db: level that 10 % of the 20 ms frames do not exceed, dBFS
        rolloff_hz: frequency below which 95 % of the power lies, Hz

    """

    seconds: float
    sampling_rate: int
    channels: int
    clipped: float
    voiced: float
    rms_db: float
    noise_floor_db: float
    rolloff_hz: float


def measure_wave(wave: npt.NDArray[np.float32], rate: int) -> ClipAudio:
    """Measure a clip.

    Args:
        wave: (samples, channels), full scale 1
        rate: sampling rate, Hz

    """
    mono = wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)
    speech = to_mono(wave, rate, sampling_rate=VAD_RATE, downmix="mean", resampler="soxr")
    _, voiced = detect(speech, sampling_rate=VAD_RATE, mode=VAD_MODE, frame_ms=FRAME_MS)
    return ClipAudio(
        seconds=len(wave) / rate,
        sampling_rate=rate,
        channels=wave.shape[1],
        clipped=np.count_nonzero((wave >= FULL_SCALE) | (wave <= -FULL_SCALE)) / wave.size,
        voiced=float(voiced.mean()),
        rms_db=float(levels_db(mono[np.newaxis])[0]),
        noise_floor_db=float(np.percentile(levels_db(whole_frames(mono, rate * FRAME_MS // 1000)), 10)),
        rolloff_hz=_rolloff(mono, rate),
    )


def _rolloff(wave: npt.NDArray[np.float32], rate: int) -> float:
    power = np.cumsum(power_spectrum(wave), dtype=np.float64)
    return float(np.searchsorted(power, ROLLOFF * power[-1])) * rate / SPECTRUM


def measure_clips(
    utterances: Sequence[Utterance], *, folder: Path, workers: int, progress: Progress
) -> tuple[dict[str, ClipAudio], Contents]:
    """Measure the clips of a corpus and compare their contents, decoding each once, or read both from cache files.

    Args:
        utterances: the corpus
        folder: folder of the cache files
        workers: number of threads that read files
        progress: wraps the iterable of results, given their number, to display the progress

    Returns:
        utterance id -> measurements; and the contents of the files.

    Raises:
        InputError: a file cannot be read

    """
    needed = {utterance.content for utterance in utterances}
    path = cache_file(folder, "clip-audio", [FORMAT, sorted(needed)])
    audio = read_cached(path, lambda read: {content: ClipAudio(*read[content]) for content in needed})
    measured: dict[str, ClipAudio] = {}

    def measure(content: str, wave: npt.NDArray[np.float32], rate: int) -> None:
        measured[content] = measure_wave(wave, rate)

    contents = cached_contents(
        utterances, folder=folder, workers=workers, progress=progress, observe=measure if audio is None else None
    )
    if contents.unread:
        raise InputError(next(iter(contents.unread.values())))
    if audio is None:
        audio = measured
        write_cached(path, audio)
    return {utterance.id: audio[utterance.content] for utterance in utterances}, contents
