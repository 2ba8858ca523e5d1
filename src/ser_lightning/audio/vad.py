"""Voice activity detection by WebRTC, to keep only the frames that contain speech."""

import numpy as np
import numpy.typing as npt
import webrtcvad

from ser_lightning.audio.resample import Resampler
from ser_lightning.errors import InputError

RATES = (8000, 16000, 32000, 48000)  # Hz, that WebRTC's detector takes
RATE = 16000  # Hz, to which other rates are converted


def voiced_frames(
    wave: npt.NDArray[np.float32], *, sampling_rate: int, mode: int, frame_ms: int
) -> npt.NDArray[np.float32]:
    """Return the frames of a clip that WebRTC's detector classifies as speech, concatenated.

    Args:
        wave: as in :func:`detect`
        sampling_rate: as in :func:`detect`
        mode: as in :func:`detect`
        frame_ms: as in :func:`detect`

    Returns:
        (samples,), a multiple of the frame length; empty if no frame is speech

    """
    frames, voiced = detect(wave, sampling_rate=sampling_rate, mode=mode, frame_ms=frame_ms)
    samples: npt.NDArray[np.float32] = frames[voiced].reshape(-1)
    return samples


def detect(
    wave: npt.NDArray[np.float32], *, sampling_rate: int, mode: int, frame_ms: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Cut a clip into frames and classify each as speech or not.

    The last frame is zero-padded, as in the study.

    Args:
        wave: (samples,), full scale 1
        sampling_rate: Hz; 8000, 16000, 32000 or 48000
        mode: VAD aggressiveness, from 0 (least) to 3 (most)
        frame_ms: length of a frame in ms; 10, 20 or 30

    Returns:
        The frames, (frames, samples per frame); and a speech mask, (frames,).

    Source: the study's ``noise_removal``, mode 2 on 20 ms; webrtcvad.

    """
    frame = sampling_rate * frame_ms // 1000
    padded = np.pad(wave, (0, -len(wave) % frame)).reshape(-1, frame)  # (frames, frame)
    # It adapts to its input, so every clip gets a new one.
    return padded, np.array(_classify(padded, webrtcvad.Vad(mode), sampling_rate), dtype=bool)


class WebRTCDetector:
    """Classify the frames of a signal that comes in blocks, by WebRTC's detector.

    Args:
        rate: sampling rate of the signal, Hz; any
        mode: VAD aggressiveness, from 0 (least) to 3 (most)
        frame_ms: length of a frame in ms; 10, 20 or 30

    """

    def __init__(self, *, rate: int, mode: int, frame_ms: int) -> None:
        self.frame_s = frame_ms / 1000
        self.rate = rate if rate in RATES else RATE
        self.resampler = Resampler(rate, self.rate, "soxr")
        self.frame = self.rate * frame_ms // 1000
        self.vad = webrtcvad.Vad(mode)
        self.rest = np.zeros(0, np.float32)

    def feed(self, samples: npt.NDArray[np.float32]) -> list[bool]:
        """Return whether each of the frames that the next samples (n,) complete is speech."""
        return self._detect(self.resampler.feed(samples))

    def finish(self) -> list[bool]:
        """Return whether the rest is speech, zero-padded to a frame."""
        flags = self._detect(self.resampler.finish())
        return flags + self._detect(np.zeros(-len(self.rest) % self.frame, np.float32))

    def _detect(self, samples: npt.NDArray[np.float32]) -> list[bool]:
        wave = np.concatenate([self.rest, samples])
        complete = len(wave) // self.frame * self.frame
        self.rest = wave[complete:]
        return _classify(wave[:complete].reshape(-1, self.frame), self.vad, self.rate)


def _classify(frames: npt.NDArray[np.float32], vad: webrtcvad.Vad, rate: int) -> list[bool]:
    """Classify frames (n, samples) one after another."""
    levels = frames * np.float32(32768)
    np.clip(np.rint(levels, out=levels), -32768, 32767, out=levels)
    pcm, size = levels.astype("<i2").tobytes(), 2 * frames.shape[1]  # two bytes per sample
    return [vad.is_speech(pcm[at : at + size], rate) for at in range(0, len(pcm), size)]


def check_vad(*, sampling_rate: int, mode: int, frame_ms: int) -> None:
    """Check that WebRTC's detector supports these settings.

    Raises:
        InputError: the detector does not support the rate, mode or frame length

    """
    for name, value, allowed in (
        ("sampling_rate", sampling_rate, RATES),
        ("vad_mode", mode, (0, 1, 2, 3)),
        ("frame_ms", frame_ms, (10, 20, 30)),
    ):
        if value not in allowed:
            raise InputError(
                f"audio.{name} is {value!r}; WebRTC's voice activity detection takes one of {allowed}"
                " (audio=untrimmed goes without it)"
            )
