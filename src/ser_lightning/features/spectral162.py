"""The 162 features of the study."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.features import spectral
from ser_lightning.features.checks import check_at_most, check_counts
from ser_lightning.features.extractor import Floats, FrameExtractor, numbered
from ser_lightning.features.tuning import estimate_tuning
from ser_lightning.kernels.spectrum import zero_crossing_rate


@dataclass(frozen=True, kw_only=True)
class Spectral162(FrameExtractor):
    """Zero crossing rate, chroma, MFCC, RMS and mel power, as the study computed them with librosa.

    The features are ``zcr``, ``chroma_01`` ..., ``mfcc_01`` ..., ``rms``, ``mel_001`` ... With the study's 12 pitch
    classes, 20 coefficients and 128 mel bands there are 162.

    Args:
        filterbank_rate: rate from which the frequencies of the bins are computed, Hz; it differs from ``analysis_rate``
            only to reproduce a bug of the study
        n_chroma: number of pitch classes
        n_mfcc: number of cepstral coefficients, at most ``n_mels``
        n_mels: number of mel bands
        log: whether mel power and RMS are in dB, with a floor of -100 dB, instead of linear

    Raises:
        InputError: a value is out of range

    """

    filterbank_rate: int
    n_chroma: int
    n_mfcc: int
    n_mels: int
    log: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(
            filterbank_rate=self.filterbank_rate, n_chroma=self.n_chroma, n_mfcc=self.n_mfcc, n_mels=self.n_mels
        )
        check_at_most("features.n_mels", self.n_mels, n_mfcc=self.n_mfcc)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        mel = numbered("mel", self.n_mels, digits=3)
        return ("zcr", *numbered("chroma", self.n_chroma), *numbered("mfcc", self.n_mfcc), "rms", *mel)

    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""
        frames = self.stft.frames(wave)  # (K, n_fft)
        spectrum = self.stft.magnitude(frames)  # (K, bins)
        tuning = estimate_tuning(spectrum, sampling_rate=self.filterbank_rate, n_chroma=self.n_chroma)
        bank = {"sampling_rate": self.filterbank_rate, "n_fft": self.n_fft}
        pitches = spectral.chroma_bank(**bank, n_chroma=self.n_chroma, tuning=tuning)
        mel = spectral.mel_power(np.square(spectrum), spectral.mel_bank(**bank, n_mels=self.n_mels))  # (K, n_mels)
        mel_db = spectral.decibels(mel)
        rms = spectral.root_mean_square(frames)
        features = np.empty((len(frames), 2 + self.n_chroma + self.n_mfcc + self.n_mels), np.float32)
        features[:, 0] = zero_crossing_rate(wave, n_fft=self.n_fft, hop_length=self.hop_length)
        at = 1 + self.n_chroma
        features[:, 1:at] = spectral.chroma(spectrum, pitches)
        features[:, at : at + self.n_mfcc] = spectral.mfcc(mel_db, n_mfcc=self.n_mfcc)
        at += self.n_mfcc
        features[:, at] = spectral.decibels(np.square(rms)) if self.log else rms
        features[:, at + 1 :] = mel_db if self.log else mel
        return features

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K) of a wave (samples,) as the study did with librosa."""
        rate, frames = self.filterbank_rate, {"frame_length": self.n_fft, "hop_length": self.hop_length}
        spectrum = np.abs(librosa.stft(wave, **self.stft.arguments()))
        crossings = librosa.feature.zero_crossing_rate(wave, **frames)
        chroma = librosa.feature.chroma_stft(S=spectrum, sr=rate, n_chroma=self.n_chroma)
        mel = librosa.feature.melspectrogram(S=spectrum**2, sr=rate, n_fft=self.n_fft, n_mels=self.n_mels)
        mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=self.n_mfcc)
        rms = librosa.feature.rms(y=wave, **frames)
        if self.log:
            rms, mel = librosa.power_to_db(rms**2, top_db=None), librosa.power_to_db(mel, top_db=None)
        return np.concatenate((crossings, chroma, mfcc, rms, mel))
