"""Log-mel bands."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.features import spectral
from ser_lightning.features.checks import check_counts
from ser_lightning.features.extractor import Floats, FrameExtractor, numbered
from ser_lightning.features.stft import STFT


@dataclass(frozen=True, kw_only=True)
class LogMel(FrameExtractor):
    """Mel power in dB, with a floor of -100 dB.

    The features are ``mel_001`` (the lowest band) ...

    Args:
        win_length: length of the window, centered in the frame, samples at the analysis rate; at most ``n_fft``
        n_mels: number of mel bands

    Raises:
        InputError: a value is out of range

    Source: librosa.feature.melspectrogram

    """

    win_length: int
    n_mels: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(n_mels=self.n_mels)

    @cached_property
    def stft(self) -> STFT:
        """The transform of a frame."""
        return STFT(
            n_fft=self.n_fft, hop_length=self.hop_length, win_length=self.win_length, window=self.window, center=True
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        return tuple(numbered("mel", self.n_mels, digits=3))

    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""
        power = np.square(self.stft.magnitude(self.stft.frames(wave)))  # (K, bins)
        bands = spectral.mel_bank(sampling_rate=self.analysis_rate, n_fft=self.n_fft, n_mels=self.n_mels)
        return spectral.decibels(spectral.mel_power(power, bands))

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K) of a wave (samples,) with librosa."""
        frames = {"y": wave, "sr": self.analysis_rate, **self.stft.arguments()}
        power = librosa.feature.melspectrogram(**frames, n_mels=self.n_mels)
        return np.asarray(librosa.power_to_db(power, top_db=None))
