"""Frames without padding at the ends, and windows that are shorter than a frame."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ser_lightning.features import spectral
from ser_lightning.features.spectral import Floats


def frame_within(wave: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """Return a view of the frames that start at every ``hop_length``-th sample and lie within the wave.

    Args:
        wave: (samples,); zero-padded at its end if it is shorter than a frame
        n_fft: length of a frame, samples
        hop_length: step between frames, samples

    Returns:
        (K, n_fft), a view whose rows overlap, with K = 1 + (samples - n_fft) // hop_length, at least 1

    Source: librosa.util.frame as in librosa.stft(center=False), which rejects waves shorter than a frame

    """
    padded = np.ascontiguousarray(np.pad(wave, (0, max(0, n_fft - len(wave)))))
    step = padded.itemsize
    count = 1 + (len(padded) - n_fft) // hop_length
    return np.ndarray((count, n_fft), np.float32, padded, strides=(hop_length * step, step))


@lru_cache
def window_within(name: str, *, win_length: int, n_fft: int) -> npt.NDArray[np.float64]:
    """Return the periodic window of the given name, zero-padded on both sides, (n_fft,).

    Source: librosa.util.pad_center, as librosa.stft applies its ``win_length``
    """
    before = (n_fft - win_length) // 2
    return np.pad(spectral.periodic_window(name, win_length), (before, n_fft - win_length - before))
