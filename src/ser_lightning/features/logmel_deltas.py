"""Log-mel bands with their deltas and delta-deltas."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.features.checks import check_counts
from ser_lightning.features.extractor import Floats, numbered
from ser_lightning.features.mel import LogMel


@dataclass(frozen=True, kw_only=True)
class LogMelDeltas(LogMel):
    """Mel power in dB, its deltas and its delta-deltas.

    The features are ``mel_001`` ..., ``delta_001`` ..., ``delta2_001`` ...: 120 for 40 bands.

    Args:
        delta_frames: number of frames N on each side that a delta uses, see :func:`delta`

    Raises:
        InputError: a value is out of range

    Source: Chen et al. 2018, 3-D convolutional recurrent neural networks with attention model. Unlike there, the mel
        bands are librosa's, and levels are in dB with a floor of -100 dB instead of natural logarithms.

    """

    delta_frames: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(delta_frames=self.delta_frames)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        return tuple(name for block in ("mel", "delta", "delta2") for name in numbered(block, self.n_mels, digits=3))

    def compute_native(self, wave: Floats) -> Floats:
        """Compute the features (K, F) of a wave (samples,) with the C kernels."""
        mel = super().compute_native(wave)
        change = delta(mel, width=self.delta_frames)
        return np.concatenate((mel, change, delta(change, width=self.delta_frames)), axis=1)

    def compute_with(self, librosa: Any, wave: Floats) -> Floats:
        """Compute the features (F, K) of a wave (samples,) with librosa."""
        mel = super().compute_with(librosa, wave)
        width = {"width": 2 * self.delta_frames + 1, "mode": "nearest"}
        change = librosa.feature.delta(mel, **width)
        return np.concatenate((mel, change, librosa.feature.delta(change, **width)))


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
