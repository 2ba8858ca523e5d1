"""Log-mel bands, with or without their deltas and delta-deltas."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.errors import InputError
from ser_lightning.features import spectral
from ser_lightning.features.checks import check_counts
from ser_lightning.features.extractor import Floats, FrameExtractor, numbered
from ser_lightning.features.stft import STFT


@dataclass(frozen=True, kw_only=True)
class LogMelDeltas(FrameExtractor):
    """Mel power in dB and, optionally, its deltas and its delta-deltas.

    The features are ``mel_001`` ..., ``delta_001`` ..., ``delta2_001`` ...: 120 for 40 bands with both.

    Args:
        win_length: length of the window, centered in the frame, samples at the analysis rate; at most ``n_fft``
        n_mels: number of mel bands
        deltas: 0 for mel power alone, 1 with its deltas, 2 with the deltas of these too
        delta_frames: number of frames N on each side that a delta uses, see :func:`delta`

    Raises:
        InputError: a value is out of range

    Source: Chen et al. 2018, 3-D convolutional recurrent neural networks with attention model. Unlike there, the mel
        bands are librosa's, and levels are in dB with a floor of -100 dB instead of natural logarithms.

    """

    win_length: int
    n_mels: int
    deltas: int
    delta_frames: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(n_mels=self.n_mels, delta_frames=self.delta_frames)
        if self.deltas not in (0, 1, 2):
            raise InputError(f"features.deltas is {self.deltas}; expected 0, 1 or 2")

    @cached_property
    def stft(self) -> STFT:
        """The transform of a frame."""
        return STFT(
            n_fft=self.n_fft, hop_length=self.hop_length, win_length=self.win_length, window=self.window, center=True
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        blocks = ("mel", "delta", "delta2")[: 1 + self.deltas]
        return tuple(name for block in blocks for name in numbered(block, self.n_mels, digits=3))

    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""
        power = np.square(self.stft.magnitude(self.stft.frames(wave)))  # (K, bins)
        bands = spectral.mel_bank(sampling_rate=self.analysis_rate, n_fft=self.n_fft, n_mels=self.n_mels)
        blocks = [spectral.decibels(spectral.mel_power(power, bands))]  # (K, n_mels)
        for _ in range(self.deltas):
            blocks.append(delta(blocks[-1], width=self.delta_frames))
        return np.concatenate(blocks, axis=1)

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K) of a wave (samples,) with librosa."""
        frames = {"y": wave, "sr": self.analysis_rate, **self.stft.arguments()}
        blocks = [librosa.power_to_db(librosa.feature.melspectrogram(**frames, n_mels=self.n_mels), top_db=None)]
        for _ in range(self.deltas):
            blocks.append(librosa.feature.delta(blocks[-1], width=2 * self.delta_frames + 1, mode="nearest"))
        return np.concatenate(blocks)


def delta(frames: Floats, *, width: int) -> Floats:
    """Compute the deltas of features: the slope of a line through N frames on each side.

    ``d[t] = sum over n = 1..N of n (c[t + n] - c[t - n]) / (2 sum of n^2)``; the first and the last frame are repeated
    beyond the ends.

    Args:
        frames: (K, F)
        width: number of frames N on each side

    Returns:
        (K, F)

    Source: Chen et al. 2018, with N = 2; librosa.feature.delta(width=2 N + 1, mode="nearest")

    """
    count = len(frames)
    padded = np.pad(frames, ((width, width), (0, 0)), mode="edge")
    result = np.zeros_like(frames)
    for n in range(1, width + 1):
        result += np.float32(n) * (padded[width + n :][:count] - padded[width - n :][:count])
    result /= np.float32(2 * sum(n * n for n in range(1, width + 1)))
    return result
