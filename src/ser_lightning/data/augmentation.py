"""Interfaces of augmentations; a class may implement several of them."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.augmented_batch import AugmentedBatch

if TYPE_CHECKING:
    from torch import Tensor

Floats = npt.NDArray[np.float32]


@runtime_checkable
class WaveformAugment(Protocol):
    """Augmentation that returns augmented copies of a clip's waveform."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each augmented copy."""

    def __call__(self, wave: Floats, *, utterance: str) -> dict[str, Floats]:
        """Return the augmented copies of a waveform (samples,), by name."""


@runtime_checkable
class FeatureAugment(Protocol):
    """Augmentation that returns augmented copies of a clip's features."""

    @property
    def feature_copy_names(self) -> tuple[str, ...]:
        """Name of each augmented copy."""

    def augment_features(self, features: Floats, *, utterance: str) -> dict[str, Floats]:
        """Return the augmented copies of features (K, F), each (K', F), by name."""


@runtime_checkable
class BatchAugment(Protocol):
    """Augmentation of training batches, which differs in every epoch."""

    def augment_batch(
        self,
        features: "Tensor",
        lengths: npt.NDArray[np.int64],
        *,
        mean: "Tensor",
        generator: np.random.Generator,
    ) -> AugmentedBatch:
        """Return the augmented batch on the device of ``features``, which is not modified.

        Args:
            features: (B, K, F), zero-padded beyond the end of each clip, on the CPU or on an accelerator
            lengths: (B,), number of valid frames of each clip
            mean: (F,), mean of each feature over the training set, on the same device
            generator: source of the random numbers

        """


Augment = WaveformAugment | FeatureAugment | BatchAugment


def copy_names(augment: Augment) -> tuple[str, ...]:
    """Return the names of all augmented copies of a clip, copies of the waveform before copies of the features."""
    waveforms = augment.names if isinstance(augment, WaveformAugment) else ()
    features = augment.feature_copy_names if isinstance(augment, FeatureAugment) else ()
    return (*waveforms, *features)
