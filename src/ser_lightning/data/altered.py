"""Training batches that are altered anew every epoch."""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from ser_lightning.augment.altered import Altered
from ser_lightning.data.batch import Batch, FeatureDataset
from ser_lightning.data.sampler import BatchSampler


@runtime_checkable
class BatchAugment(Protocol):
    """Alters batches of training clips; an augmentation that makes copies may be one too."""

    def alter(
        self,
        frames: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        *,
        mean: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> Altered:
        """Alter a batch (B, K, F); ``mean`` (F,) is that of each row over the training set."""


class AlteredBatches(Dataset[Batch]):
    """A dataset whose batches are altered as they are gathered.

    What a batch gets is a function of the seed, the epoch and the clips in it: a run that was killed gets it again.

    Args:
        dataset: of the training clips
        sampler: of its batches; knows the epoch
        augment: what alters them
        seed: of the run
        classes: number of classes

    """

    def __init__(
        self, *, dataset: FeatureDataset, sampler: BatchSampler, augment: BatchAugment, seed: int, classes: int
    ) -> None:
        self.dataset, self.sampler, self.augment = dataset, sampler, augment
        self.seed, self.classes = seed, classes
        self.mean = dataset.statistics()[0].numpy()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return the rows as a batch, in the order given; of mixed clips the target is that of the greater share."""
        batch = self.dataset.__getitems__(rows)
        frames, lengths, partner, share = self.augment.alter(
            batch.features.transpose(1, 2).numpy(),
            batch.lengths.numpy(),
            mean=self.mean,
            generator=np.random.default_rng([self.seed, self.sampler.epoch, *rows]),
        )
        batch = batch._replace(features=torch.from_numpy(frames).transpose(1, 2), lengths=torch.from_numpy(lengths))
        if partner is None:
            return batch
        other = batch.target[torch.from_numpy(partner)]
        one_hot = F.one_hot(torch.stack([batch.target, other]), self.classes).float()  # (2, B, classes)
        return batch._replace(
            target=batch.target if share >= 0.5 else other, shares=share * one_hot[0] + (1 - share) * one_hot[1]
        )
