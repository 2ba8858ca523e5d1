"""The short-time Fourier transform (STFT) that the features share."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import filterbanks
from ser_lightning.features.checks import check_at_most, check_counts
from ser_lightning.kernels import spectrum as kernels

Floats = npt.NDArray[np.float32]

BLOCK = 32  # frames per block: few enough for their spectra to stay in the processor's cache


@dataclass(frozen=True, kw_only=True, slots=True)
class STFT:
    """Settings of a short-time Fourier transform, as in ``librosa.stft``.

    Args:
        n_fft: length of a frame, samples; even, so that a frame can be centered on a sample
        hop_length: step between frames, samples
        win_length: length of the window, centered in the frame, samples; at most ``n_fft``
        window: name of the window in scipy.signal.get_window
        center: if True, a frame is centered on every ``hop_length``-th sample, with zeros beyond the ends; otherwise it
            starts there, and no frame extends beyond the end

    Raises:
        InputError: a value is out of range, or the window is unknown

    """

    n_fft: int
    hop_length: int
    win_length: int
    window: str
    center: bool

    def __post_init__(self) -> None:
        check_counts(n_fft=self.n_fft, hop_length=self.hop_length, win_length=self.win_length)
        if self.n_fft % 2:
            raise InputError(f"features.n_fft is {self.n_fft}; expected an even number")
        check_at_most("features.n_fft", self.n_fft, win_length=self.win_length)
        try:
            padded_window(self)
        except ValueError as error:
            raise InputError(
                f"features.window is {self.window!r}; expected a name of scipy.signal.get_window"
            ) from error

    @property
    def bins(self) -> int:
        """Number of frequency bins."""
        return 1 + self.n_fft // 2

    def frames(self, wave: Floats) -> Floats:
        """Return a view of the frames of a wave.

        Args:
            wave: (samples,); without ``center``, it is zero-padded at its end if it is shorter than a frame

        Returns:
            (K, n_fft), a view whose rows overlap, with K = 1 + samples // hop_length, or without ``center``
            K = 1 + (samples - n_fft) // hop_length, at least 1

        Source: librosa.util.frame, as librosa.stft pads

        """
        before = self.n_fft // 2 if self.center else 0
        padded = np.zeros(max(self.n_fft, len(wave) + 2 * before), np.float32)
        padded[before : before + len(wave)] = wave
        count, step = 1 + (len(padded) - self.n_fft) // self.hop_length, padded.itemsize
        # Unlike as_strided, the constructor checks the bounds; it is faster than sliding_window_view.
        return np.ndarray((count, self.n_fft), np.float32, padded, strides=(self.hop_length * step, step))

    def magnitude(self, frames: Floats) -> Floats:
        """Compute the magnitude spectrum of each frame, (K, n_fft) -> (K, bins).

        Source: abs(librosa.stft), transposed
        """
        result = np.empty((len(frames), self.bins), np.float32)
        window = padded_window(self)
        for start in range(0, len(frames), BLOCK):
            block = slice(start, start + BLOCK)
            # Window and transform in double precision, then round and take NumPy's magnitude as librosa does, so that
            # the estimated tuning is the same. Single precision would be faster but occasionally gives another tuning.
            np.abs(kernels.spectra(frames[block], window), out=result[block])
        return result

    def arguments(self) -> dict[str, Any]:
        """Return the settings as arguments of ``librosa.stft``."""
        return asdict(self)


@lru_cache
def padded_window(stft: STFT) -> npt.NDArray[np.float64]:
    """Return the periodic window of a transform, zero-padded to the length of a frame, (n_fft,).

    Raises:
        ValueError: the name of the window is unknown

    Source: librosa.filters.get_window; librosa.util.pad_center, as librosa.stft applies its ``win_length``

    """
    before = (stft.n_fft - stft.win_length) // 2
    window = filterbanks.window(stft.window, stft.win_length)
    return np.pad(window, (before, stft.n_fft - stft.win_length - before))
