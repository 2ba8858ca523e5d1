"""Measurements of the audio of each clip: length, level, bandwidth, clipping and speech."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from threadpoolctl import threadpool_limits

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.audio.vad import detect
from ser_lightning.corpora.utterance import Utterance

FORMAT = 1  # increase it when the same files give different measurements
FULL_SCALE = 1 - 2**-15  # the largest sample of 16 bits
LOWEST_DB = -120.0  # level of digital silence, which has none in dB
FRAME_MS, VAD_MODE, VAD_RATE = 20, 2, 16000  # speech detection as in audio=webrtc
ROLLOFF = 0.95  # share of the power below the roll-off frequency

Progress = Callable[[Iterable[Any], int], Iterable[Any]]


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
    mono = wave.mean(axis=1)
    frames = np.array_split(mono, max(1, round(1000 * len(mono) / rate / FRAME_MS)))
    speech = to_mono(wave, rate, sampling_rate=VAD_RATE, downmix="mean", resampler="soxr")
    _, voiced = detect(speech, sampling_rate=VAD_RATE, mode=VAD_MODE, frame_ms=FRAME_MS)
    return ClipAudio(
        seconds=len(wave) / rate,
        sampling_rate=rate,
        channels=wave.shape[1],
        clipped=float(np.mean(np.abs(wave) >= FULL_SCALE)),
        voiced=float(voiced.mean()) if len(voiced) else 0.0,
        rms_db=_level(mono),
        noise_floor_db=float(np.percentile([_level(frame) for frame in frames], 10)),
        rolloff_hz=_rolloff(mono, rate),
    )


def _level(wave: npt.NDArray[np.float32]) -> float:
    power = float(np.dot(wave, wave)) / len(wave)
    return max(LOWEST_DB, 10 * math.log10(power)) if power > 0 else LOWEST_DB


def _rolloff(wave: npt.NDArray[np.float32], rate: int) -> float:
    size = int(scipy.fft.next_fast_len(len(wave), real=True))
    power = np.cumsum(np.abs(scipy.fft.rfft(wave, size)) ** 2, dtype=np.float64)
    return float(np.searchsorted(power, ROLLOFF * power[-1])) * rate / size


def measure_clips(
    utterances: Sequence[Utterance], *, folder: Path, workers: int, progress: Progress
) -> dict[str, ClipAudio]:
    """Measure the clips of a corpus, or read their measurements from a cache file.

    Args:
        utterances: the corpus
        folder: folder of the cache file
        workers: number of threads that read files
        progress: wraps the iterable of results, given their number, to display the progress

    Returns:
        utterance id -> measurements

    Raises:
        InputError: a file cannot be read

    """
    contents = {utterance.content: utterance for utterance in utterances}
    key = hashlib.sha256(json.dumps([FORMAT, sorted(contents)]).encode()).hexdigest()[:16]
    path = folder / f"clip-audio-{key}.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        found = {content: ClipAudio(*read[content]) for content in contents}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # missing or damaged: measured again
        with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
            results = progress(pool.map(_measure, contents.values()), len(contents))
            found = dict(zip(contents, results, strict=True))
        # The cache file only saves time: a full or read-only disk must not fail the command.
        with suppress(OSError), write_atomically(path) as file:
            json.dump(found, file)
    return {utterance.id: found[utterance.content] for utterance in utterances}


def _measure(utterance: Utterance) -> ClipAudio:
    return measure_wave(*read_audio(utterance.path, **utterance.segment))
