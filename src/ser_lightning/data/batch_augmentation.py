"""Batch augmentation, which changes the training batches in every epoch."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ser_lightning.data.augmentation import BatchAugment
from ser_lightning.data.batch import Batch, BatchDataset, FeatureDataset
from ser_lightning.data.sampler import BatchSampler


class AugmentedBatches(BatchDataset):
    """Dataset that augments each batch as it is assembled, on the device of the batch.

    The augmentation of a batch depends only on the seed, the epoch and the rows of the batch, so that a resumed run
    gets the same batches.

    Args:
        dataset: the training clips
        source: where their batches are assembled: the dataset itself, or its copy on an accelerator
        sampler: sampler of the batches, which knows the epoch
        augment: the batch augmentation
        seed: seed of the run
        classes: number of classes

    """

    def __init__(
        self,
        *,
        dataset: FeatureDataset,
        source: BatchDataset,
        sampler: BatchSampler,
        augment: BatchAugment,
        seed: int,
        classes: int,
    ) -> None:
        self.dataset, self.source, self.sampler, self.augment = dataset, source, sampler, augment
        self.seed, self.classes = seed, classes
        self.mean = dataset.statistics()[0]

    def __len__(self) -> int:
        return len(self.dataset)

    def generator(self, rows: list[int]) -> np.random.Generator:
        """Return the source of the random numbers of a batch."""
        return np.random.default_rng([self.seed, self.sampler.epoch, *rows])

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return the rows as an augmented batch, in the given order."""
        batch = self.source.__getitems__(rows)
        device = batch.features.device
        features, lengths, partners, shares = self.augment.augment_batch(
            batch.features,
            self.dataset.lengths[rows].numpy(),
            mean=self.mean.to(device),
            generator=self.generator(rows),
        )
        batch = batch._replace(features=features, lengths=torch.from_numpy(lengths).to(device))
        if partners is None:
            return batch
        target, mixed = mix_targets(batch.target, batch.shares, partners=partners, weights=shares, classes=self.classes)
        return batch._replace(target=target, shares=mixed)


def mix_targets(
    target: Tensor,
    shares: Tensor | None,
    *,
    partners: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    classes: int,
) -> tuple[Tensor, Tensor]:
    """Return the class of the clip with the larger weight in each mixture, (B,), and the mixed targets, (B, classes).

    Args:
        target: (B,), class index of each clip
        shares: (B, classes), soft targets, which are mixed like labels; None without
        partners: (B,), index of the clip with which each clip is mixed
        weights: (B,), weight of each clip in its mixture
        classes: number of classes

    """
    partner = torch.from_numpy(partners).to(target.device)
    own, other = (torch.from_numpy(w).float().to(target.device)[:, None] for w in (weights, 1 - weights))
    shares = F.one_hot(target, classes).float() if shares is None else shares
    larger = torch.from_numpy(weights >= 0.5).to(target.device)
    return torch.where(larger, target, target[partner]), own * shares + other * shares[partner]
