"""Which clips make up which batch."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

POOL = 8  # batches of like length are cut from so many batches of shuffled clips


class BatchSampler(Sampler[list[int]]):
    """Cut a dataset into batches; the order of an epoch is a function of the seed and the epoch alone.

    Every clip appears once an epoch. With ``bucket``, clips of like length share a batch, so that little of it is
    padding: what changes is which clips meet in a batch, not how often one is seen.

    Args:
        lengths: frames of each clip
        batch_size: clips a batch; the last may be smaller, or larger by one when shuffled
        shuffle: shuffle the clips
        reshuffle: draw the order anew every epoch; else the first is kept
        bucket: make batches of clips of like length
        seed: of the shuffle

    """

    def __init__(
        self,
        *,
        lengths: Sequence[int],
        batch_size: int,
        shuffle: bool,
        reshuffle: bool,
        bucket: bool,
        seed: int,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.reshuffle = reshuffle
        self.bucket = bucket
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; Lightning calls it, so that a resumed run goes on in the order it left."""
        self.epoch = epoch if self.reshuffle else 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.lengths), self.batch_size)
        return full + (rest > 0) - (self.shuffle and rest == 1 and full > 0)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = np.arange(len(self.lengths))
        if self.shuffle:
            generator.shuffle(order)
        if self.bucket:
            # Sorted within pools when shuffled: over the whole epoch the same neighbours would meet every time.
            pool = POOL * self.batch_size if self.shuffle else max(1, len(order))
            order = np.concatenate(
                [
                    part[np.argsort(self.lengths[part], kind="stable")]
                    for part in np.split(order, range(pool, len(order), pool))
                ]
            )
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        if self.shuffle and len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [np.concatenate(batches[-2:])]  # BatchNorm cannot learn from a clip alone
        if self.bucket and self.shuffle:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        return iter([batch.tolist() for batch in batches])
