"""Pitch shift at constant tempo by a phase vocoder: the C implementation and its reference, torchaudio."""

import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.sinc import resample
from ser_lightning.kernels.pitch import Advances, advances, stretch

Floats = npt.NDArray[np.float32]

N_FFT = 512
HOP_LENGTH = 128


class Analysis(NamedTuple):
    """The analysis of a clip, from which all its pitch shifts are computed.

    Args:
        advances: magnitudes and phase advances of the K frames of the clip
        samples: length of the clip, samples

    """

    advances: Advances
    samples: int


@cache
def _window() -> Floats:
    # periodic Hann window
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)


def analyze(wave: Floats) -> Analysis:
    """Return the magnitudes and the phase advances of a clip, (samples,)."""
    # The ends are padded by reflecting half a window, which needs that much signal.
    half = N_FFT // 2
    x = _pad_or_cut(wave, max(len(wave), half + 1))
    padded = np.concatenate((x[half:0:-1], x, x[-2 : -half - 2 : -1]))
    count, step = 1 + len(x) // HOP_LENGTH, padded.itemsize
    frames = np.ndarray((count, N_FFT), np.float32, padded, strides=(HOP_LENGTH * step, step))
    return Analysis(advances(frames, _window()), len(wave))


def pitch_shift(analysis: Analysis, *, sampling_rate: int, steps: float) -> Floats:
    """Shift the pitch by ``steps`` semitones and keep the length.

    The result is that of ``torchaudio.functional.pitch_shift``, which the study used, computed in another way. Where
    torchaudio adds up angles, this function multiplies numbers on the unit circle, in which full turns cancel. Of
    torchaudio's resampling kernel, about a gigabyte for 3 semitones, it keeps only the nonzero part. Both are faster,
    and in single precision the result is closer to torchaudio's in double precision than torchaudio's own in single
    precision (``tests/augment``).

    Args:
        analysis: result of :func:`analyze` for the clip
        sampling_rate: Hz
        steps: semitones, up if positive

    Returns:
        (samples,), as long as the clip

    Source: torchaudio 2.11 ``functional.pitch_shift`` and ``phase_vocoder``; Flanagan & Golden 1966.

    """
    rate = 2.0 ** (-steps / 12)
    signal, envelope = stretch(analysis.advances, _window(), rate=rate, hop_length=HOP_LENGTH)
    signal, envelope = signal[N_FFT // 2 :], envelope[N_FFT // 2 :]
    # least-squares inverse of the windowed transform
    signal /= np.where(envelope > 1e-11, envelope, np.float32(1))
    slower = _pad_or_cut(signal, round(max(analysis.samples, N_FFT // 2 + 1) / rate))
    return _pad_or_cut(resample(slower, old=int(sampling_rate / rate), new=sampling_rate), analysis.samples)


@lru_cache(maxsize=4)
def _torchaudio_transform(sampling_rate: int, steps: float) -> Any:
    from torchaudio.transforms import PitchShift  # slow to import (seconds)

    return PitchShift(sampling_rate, steps)


def torchaudio_shift(wave: Floats, *, sampling_rate: int, steps: float) -> Floats:
    """Shift the pitch with torchaudio, as the study did.

    The transform computes the same as ``torchaudio.functional.pitch_shift`` and caches its resampling kernel for the
    next clip.

    Args:
        wave: (samples,); zero-padded at the end if it is not longer than half a window
        sampling_rate: Hz
        steps: semitones, up if positive

    Returns:
        (samples,), as long as the clip

    """
    import torch

    padded = torch.tensor(_pad_or_cut(wave, max(len(wave), N_FFT // 2 + 1)))
    with torch.no_grad():
        shifted: Floats = _torchaudio_transform(sampling_rate, steps)(padded).numpy()
    return _pad_or_cut(shifted, len(wave))


def torchaudio_kernel_bytes(*, sampling_rate: int, steps: float) -> int:
    """Return the size of torchaudio's resampling kernel in bytes.

    The kernel has one filter for each position that a new sample can have between two old ones.

    >>> torchaudio_kernel_bytes(sampling_rate=16000, steps=3) / 1e9
    1.217728
    """
    old = int(sampling_rate / 2.0 ** (-steps / 12))
    common = math.gcd(old, sampling_rate)
    return 4 * (sampling_rate // common) * (old // common)


def _pad_or_cut(wave: Floats, samples: int) -> Floats:
    """Cut or zero-pad a signal at its end to a number of samples."""
    if len(wave) >= samples:
        return wave[:samples]
    return np.concatenate((wave, np.zeros(samples - len(wave), np.float32)))
