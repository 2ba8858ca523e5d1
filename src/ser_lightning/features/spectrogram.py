"""The short-time spectrum."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.features import spectral
from ser_lightning.features.checks import check_at_most, check_choice, check_counts
from ser_lightning.features.extractor import Floats, FrameExtractor
from ser_lightning.features.stft import STFT

SCALES = ("magnitude", "power", "decibels")


@dataclass(frozen=True, kw_only=True)
class Spectrogram(FrameExtractor):
    """The lowest bins of the short-time Fourier transform.

    The features are ``bin_0000`` (0 Hz), ``bin_0001`` ...; the frequency of bin ``i`` is
    ``i * analysis_rate / n_fft`` Hz.

    Args:
        win_length: length of the window, centered in the frame, samples at the analysis rate; at most ``n_fft``
        center: if True, a frame is centered on every ``hop_length``-th sample, with zeros beyond the ends; otherwise it
            starts there, and no frame extends beyond the end
        bins: number of bins to keep, from the lowest, at most ``1 + n_fft // 2``
        scale: ``magnitude``, ``power`` (its square), or ``decibels`` of the power, with a floor of -100 dB

    Raises:
        InputError: a value is out of range

    Source: librosa.stft

    """

    win_length: int
    center: bool
    bins: int
    scale: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(bins=self.bins)
        check_at_most("1 + features.n_fft // 2", self.stft.bins, bins=self.bins)
        check_choice(SCALES, scale=self.scale)

    @cached_property
    def stft(self) -> STFT:
        """The transform of a frame."""
        return STFT(
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=self.window,
            center=self.center,
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        return tuple(f"bin_{i:04d}" for i in range(self.bins))

    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""
        spectrum = self.stft.magnitude(self.stft.frames(wave))[:, : self.bins]
        if self.scale == "magnitude":
            return spectrum
        power = np.square(spectrum)
        return power if self.scale == "power" else spectral.decibels(power)

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K) of a wave (samples,) with librosa."""
        if not self.center:  # librosa rejects a wave shorter than a frame
            wave = np.pad(wave, (0, max(0, self.n_fft - len(wave))))
        spectrum: Floats = np.abs(librosa.stft(wave, **self.stft.arguments()))[: self.bins]
        if self.scale == "magnitude":
            return spectrum
        power = np.square(spectrum)
        return power if self.scale == "power" else np.asarray(librosa.power_to_db(power, top_db=None))
