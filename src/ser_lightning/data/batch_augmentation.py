"""Batch augmentation, which changes the training batches in every epoch."""

import numpy as np
import torch
from torch.nn import functional as F

from ser_lightning.data.augmentation import BatchAugment
from ser_lightning.data.batch import Batch, BatchDataset, FeatureDataset
from ser_lightning.data.sampler import BatchSampler


class AugmentedBatches(BatchDataset):
    """Dataset that augments each batch as it is assembled.

    The augmentation of a batch depends only on the seed, the epoch and the rows of the batch, so that a resumed run
    gets the same batches.

    Args:
        dataset: the training clips
        sampler: sampler of the batches, which knows the epoch
        augment: the batch augmentation
        seed: seed of the run
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
        """Return the rows as an augmented batch, in the given order.

        The target of a mixed clip is the class of the clip with the larger share. Soft targets are mixed like labels.
        """
        batch = self.dataset.__getitems__(rows)
        frames, lengths, partner, share = self.augment.augment_batch(
            batch.features.numpy(),
            batch.lengths.numpy(),
            mean=self.mean,
            generator=np.random.default_rng([self.seed, self.sampler.epoch, *rows]),
        )
        batch = batch._replace(features=torch.from_numpy(frames), lengths=torch.from_numpy(lengths))
        if partner is None:
            return batch
        index = torch.from_numpy(partner)
        shares = F.one_hot(batch.target, self.classes).float() if batch.shares is None else batch.shares  # (B, classes)
        return batch._replace(
            target=batch.target if share >= 0.5 else batch.target[index],
            shares=share * shares + (1 - share) * shares[index],
        )
