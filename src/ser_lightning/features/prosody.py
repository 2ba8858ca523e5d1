"""Prosodic and spectral statistics of a clip, in one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ser_lightning.errors import InputError
from ser_lightning.features import praat, spectral
from ser_lightning.features.checks import check_at_most, check_counts, check_positive
from ser_lightning.features.extractor import Floats, FrameExtractor, numbered
from ser_lightning.features.statistics import check_functionals, functional_names, summarize
from ser_lightning.kernels.spectrum import zero_crossing_rate


@dataclass(frozen=True, kw_only=True)
class Prosody(FrameExtractor):
    """Statistics over time of MFCC, zero crossing rate, short-term energy, pitch and formants.

    The features are ``mfcc_01_mean`` ..., ``zcr_mean``, ``energy_mean``, ``f0_mean``, ``f1_mean`` ..., followed by
    those of the next statistic. Energy is the mean square of a frame, in dB with a floor of -100 dB. Pitch and
    formants, in Hz, use only the voiced frames; their statistics are 0 if there are none. They are Praat's with either
    backend.

    Args:
        n_mfcc: number of cepstral coefficients, at most ``n_mels``
        n_mels: number of mel bands
        pitch_floor: lowest pitch to detect, Hz
        pitch_ceiling: highest pitch to detect, Hz, at most half the analysis rate
        n_formants: number of formants to use, from the lowest, at most ``max_formants``
        max_formants: number of formants to search for
        formant_ceiling: highest frequency of the search, Hz, at most half the analysis rate
        functionals: the statistics, from ``mean``, ``std``, ``min``, ``max``, ``median``, ``iqr``, ``skewness`` and
            ``kurtosis``

    Raises:
        InputError: a value is out of range, or Praat is not installed

    Source: the five kinds of features of Zhu et al. 2017, emotion recognition from Chinese speech; librosa for the
        first three, Praat for pitch and formants. Their statistics, frames and limits are not known to us.

    """

    concurrent: ClassVar[bool] = False  # Praat has global state

    n_mfcc: int
    n_mels: int
    pitch_floor: float
    pitch_ceiling: float
    n_formants: int
    max_formants: int
    formant_ceiling: float
    functionals: Sequence[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        praat.check_installed()
        check_counts(n_mfcc=self.n_mfcc, n_mels=self.n_mels, n_formants=self.n_formants, max_formants=self.max_formants)
        check_at_most("features.n_mels", self.n_mels, n_mfcc=self.n_mfcc)
        check_at_most("features.max_formants", self.max_formants, n_formants=self.n_formants)
        limits = {"pitch_ceiling": self.pitch_ceiling, "formant_ceiling": self.formant_ceiling}
        check_positive(pitch_floor=self.pitch_floor, **limits)
        check_at_most("half of features.analysis_rate", self.analysis_rate / 2, **limits)
        if self.pitch_floor >= self.pitch_ceiling:
            raise InputError(
                f"features.pitch_floor is {self.pitch_floor}; expected less than features.pitch_ceiling,"
                f" {self.pitch_ceiling}"
            )
        check_functionals(self.functionals)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        voice = ("f0", *(f"f{n}" for n in range(1, self.n_formants + 1)))
        return functional_names((*numbered("mfcc", self.n_mfcc), "zcr", "energy", *voice), self.functionals)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return (*super().libraries, "praat-parselmouth")

    def compute(self, wave: Floats) -> Floats:
        """Compute the features (1, F) of a valid wave (samples,) at the analysis rate."""
        voice = praat.analyze(
            wave,
            sampling_rate=self.analysis_rate,
            time_step=self.hop_length / self.analysis_rate,
            pitch_floor=self.pitch_floor,
            pitch_ceiling=self.pitch_ceiling,
            n_formants=self.n_formants,
            max_formants=self.max_formants,
            formant_ceiling=self.formant_ceiling,
        )
        tracks = [summarize_finite(track, self.functionals) for track in (voice.pitch, *voice.formants)]
        every = summarize(super().compute(wave), self.functionals).reshape(len(self.functionals), -1)
        return np.concatenate((every, np.transpose(tracks)), axis=1).reshape(1, -1)

    def compute_native(self, wave: Floats) -> Floats:
        """Compute MFCC, zero crossing rate and energy of each frame, (K, n_mfcc + 2), with the C kernels."""
        frames = self.stft.frames(wave)
        power = np.square(self.stft.magnitude(frames))
        bands = spectral.mel_bank(sampling_rate=self.analysis_rate, n_fft=self.n_fft, n_mels=self.n_mels)
        mfcc = spectral.mfcc(spectral.decibels(spectral.mel_power(power, bands)), n_mfcc=self.n_mfcc)
        crossings = zero_crossing_rate(wave, n_fft=self.n_fft, hop_length=self.hop_length)
        energy = spectral.decibels(np.square(spectral.root_mean_square(frames)))
        return np.column_stack((mfcc, crossings, energy))

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute MFCC, zero crossing rate and energy of each frame, (n_mfcc + 2, K), with librosa."""
        sizes = {"n_mfcc": self.n_mfcc, "n_mels": self.n_mels}
        mfcc = librosa.feature.mfcc(y=wave, sr=self.analysis_rate, **sizes, **self.stft.arguments())
        frames = {"frame_length": self.n_fft, "hop_length": self.hop_length}
        crossings = librosa.feature.zero_crossing_rate(wave, **frames)
        energy = librosa.power_to_db(librosa.feature.rms(y=wave, **frames) ** 2, top_db=None)
        return np.concatenate((mfcc, crossings, energy), dtype=np.float32)


def summarize_finite(track: Floats, functionals: Sequence[str]) -> Floats:
    """Return the statistics of the finite values of a track, (frames,) -> (functionals,); 0 if there are none."""
    finite = track[np.isfinite(track)]
    if not len(finite):
        return np.zeros(len(functionals), np.float32)
    return summarize(finite[:, None], functionals)
