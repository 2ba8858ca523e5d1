"""Mel-frequency cepstral coefficients (MFCC), optionally with chroma."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.errors import InputError
from ser_lightning.features import spectral
from ser_lightning.features.checks import check_at_most, check_counts
from ser_lightning.features.extractor import Floats, FrameExtractor, numbered
from ser_lightning.features.tuning import estimate_tuning


@dataclass(frozen=True, kw_only=True)
class Cepstra(FrameExtractor):
    """MFCC and chroma as librosa computes them from a waveform.

    The features are ``mfcc_01`` ..., ``chroma_01`` ... Chroma and its tuning are computed from the power spectrum, as
    by ``chroma_stft(y=...)``. The 162 features of the study differ in this: there, librosa gets a magnitude spectrum.

    Args:
        n_mfcc: number of cepstral coefficients, at most ``n_mels``
        n_mels: number of mel bands
        n_chroma: number of pitch classes; 0 leaves chroma out
        signal_length: length to which a clip is zero-padded or cut first, equally on both sides, in samples at the
            analysis rate; None keeps its length

    Raises:
        InputError: a value is out of range

    Source: librosa.feature.mfcc, librosa.feature.chroma_stft

    """

    n_mfcc: int
    n_mels: int
    n_chroma: int
    signal_length: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(n_mfcc=self.n_mfcc, n_mels=self.n_mels)
        check_at_most("features.n_mels", self.n_mels, n_mfcc=self.n_mfcc)
        if self.n_chroma < 0:
            raise InputError(f"features.n_chroma is {self.n_chroma}; expected a positive whole number, or 0 for none")
        if self.signal_length is not None:
            check_counts(signal_length=self.signal_length)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        return (*numbered("mfcc", self.n_mfcc), *numbered("chroma", self.n_chroma))

    def compute(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a valid wave (samples,) at the analysis rate."""
        return super().compute(wave if self.signal_length is None else pad_or_crop(wave, self.signal_length))

    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""
        power = np.square(self.stft.magnitude(self.stft.frames(wave)))  # (K, bins)
        bank = {"sampling_rate": self.analysis_rate, "n_fft": self.n_fft}
        mel = spectral.mel_power(power, spectral.mel_bank(**bank, n_mels=self.n_mels))
        mfcc = spectral.mfcc(spectral.decibels(mel), n_mfcc=self.n_mfcc)
        if not self.n_chroma:
            return mfcc
        tuning = estimate_tuning(power, sampling_rate=self.analysis_rate, n_chroma=self.n_chroma)
        pitches = spectral.chroma_bank(**bank, n_chroma=self.n_chroma, tuning=tuning)
        return np.concatenate((mfcc, spectral.chroma(power, pitches)), axis=1)

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K) of a wave (samples,) with librosa."""
        frames = {"y": wave, "sr": self.analysis_rate, **self.stft.arguments()}
        blocks = [librosa.feature.mfcc(**frames, n_mfcc=self.n_mfcc, n_mels=self.n_mels)]
        if self.n_chroma:
            blocks.append(librosa.feature.chroma_stft(**frames, n_chroma=self.n_chroma))
        return np.concatenate(blocks)


def pad_or_crop(wave: Floats, length: int) -> Floats:
    """Zero-pad or cut a wave to a length, equally on both sides.

    >>> pad_or_crop(np.array([1, 2], np.float32), 5)
    array([0., 1., 2., 0., 0.], dtype=float32)
    >>> pad_or_crop(np.array([1, 2, 3, 4, 5], np.float32), 2)
    array([2., 3.], dtype=float32)

    Source: ``get_feature`` of TIM-Net's released code

    """
    missing = length - len(wave)
    if missing < 0:
        start = -missing // 2
        return wave[start : start + length]
    return np.pad(wave, (missing // 2, missing - missing // 2))
