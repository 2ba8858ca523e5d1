"""Base classes of the feature extractors."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import spectral
from ser_lightning.features.checks import check_counts
from ser_lightning.features.stft import STFT
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend
from ser_lightning.kernels.compile import KERNELS

Floats = npt.NDArray[np.float32]

LOUDEST = 1e15  # the power of larger samples would overflow single precision


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor(ABC):
    """Base class: computes a feature matrix from a waveform.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        standardize: whether the model should standardize these features; not applied here

    Raises:
        InputError: a value is out of range

    """

    sampling_rate: int
    analysis_rate: int
    standardize: bool

    version: ClassVar[int] = 1  # part of the digest of the feature cache; increase it when the features change
    concurrent: ClassVar[bool] = False  # whether several threads may compute features at once

    def __post_init__(self) -> None:
        check_counts(sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""

    @cached_property
    def size(self) -> int:
        """Number of features F."""
        return len(self.names)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return () if self.sampling_rate == self.analysis_rate else ("soxr",)

    def __call__(self, wave: Floats) -> Floats:
        """Compute the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (K, F), where K is the number of frames; K = 1 for features that describe a clip by one vector

        Raises:
            InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

        """
        wave = prepare_wave(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        return np.ascontiguousarray(self.compute(wave), np.float32)

    @abstractmethod
    def compute(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a valid wave (samples,) at the analysis rate."""


@dataclass(frozen=True, kw_only=True)
class FrameExtractor(FeatureExtractor):
    """Base class of features of overlapping frames, computed by the C kernels or by librosa.

    Args:
        n_fft: length of a frame, samples at the analysis rate; even
        hop_length: step between frames, samples at the analysis rate
        window: name of the window in scipy.signal.get_window
        backend: ``native`` for the C kernels, ``librosa`` for the reference, ``auto`` for native where available

    Raises:
        InputError: a value is out of range

    """

    concurrent: ClassVar[bool] = True

    n_fft: int
    hop_length: int
    window: str
    backend: str = AUTO  # not a scientific setting

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.stft  # checks its values
        backend = resolve_backend(self.backend, reference="librosa", key="features.backend")
        object.__setattr__(self, "backend", backend)

    @cached_property
    def stft(self) -> STFT:
        """The transform of a frame; its window is as long as the frame, and frames are centered."""
        return STFT(
            n_fft=self.n_fft, hop_length=self.hop_length, win_length=self.n_fft, window=self.window, center=True
        )

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return (*super().libraries, *((KERNELS,) if self.backend == NATIVE else ("librosa", "scipy")))

    def compute(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a valid wave (samples,) at the analysis rate."""
        if self.backend == NATIVE:
            return self.compute_native(wave)
        import librosa  # takes a second

        with _quiet_librosa():
            return self.compute_with(librosa, wave).T

    @abstractmethod
    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""

    @abstractmethod
    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K), librosa's order, of a wave (samples,) with librosa: the reference."""


def prepare_wave(wave: Floats, *, sampling_rate: int, analysis_rate: int) -> Floats:
    """Check a wave and resample it to the rate at which features are computed.

    Args:
        wave: (samples,), full scale 1
        sampling_rate: its rate, Hz
        analysis_rate: rate of the result, Hz

    Raises:
        InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

    """
    if wave.dtype != np.float32 or wave.ndim != 1:
        raise InputError(f"expected a vector of float32 samples but got {wave.dtype} of shape {wave.shape}")
    if not wave.size:
        raise InputError("expected at least one sample but got an empty wave")
    peak = max(wave.max(), -wave.min())
    if not peak <= LOUDEST:  # this form is also true for NaN
        raise InputError(f"expected finite samples with full scale 1 but got a peak of {peak}")
    return spectral.resample(wave, sampling_rate=sampling_rate, analysis_rate=analysis_rate)


@contextmanager
def _quiet_librosa() -> Iterator[None]:
    """Silence librosa's warnings of short or unpitched waves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=|Trying to estimate tuning|Empty filters detected", UserWarning)
        yield


def numbered(name: str, count: int, *, digits: int = 2) -> tuple[str, ...]:
    """Return numbered feature names.

    >>> numbered("mfcc", 2)
    ('mfcc_01', 'mfcc_02')
    """
    return tuple(f"{name}_{i:0{digits}d}" for i in range(1, count + 1))
