"""Batch sampler with length bucketing, class balancing and distributed evaluation."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

POOL = 8  # pool size in batches; bucketing sorts the shuffled clips by length within each pool


class BatchSampler(Sampler[list[int]]):
    """Divide a dataset into batches, in an order that depends only on the seed and the epoch.

    A distributed run divides the dataset among its processes. For training (``divide="batches"``) each process takes
    every ``world_size``-th batch; because all processes must take the same number of steps, the first batches are
    repeated if some process would get one fewer. For evaluation (``divide="clips"``) each process takes every
    ``world_size``-th clip and none is repeated, so that metrics count every clip once.

    In one process and without ``balance``, every clip appears once per epoch. With ``bucket``, clips of similar length
    share a batch, which reduces padding: this changes which clips share a batch, not how often a clip appears.

    With ``balance``, an epoch draws as many clips as the dataset has, the same number (up to one) of each class. A
    class with more clips than this is subsampled, with other clips in every epoch; the clips of a class with fewer are
    repeated, each as often as the others or once more. The network is then trained as if all classes were equally
    frequent.

    Args:
        lengths: number of frames of each clip
        batch_size: clips per batch; one batch may be smaller, or larger by one with ``shuffle``, which avoids a batch
            of one clip
        shuffle: shuffle the clips
        reshuffle: draw a new order every epoch; otherwise the order of epoch 0 is kept
        bucket: put clips of similar length into the same batch
        seed: seed of the order and of the draws of ``balance``
        balance: (N,), class of each clip, to draw every class equally often; None to draw each clip once
        divide: what is divided among the processes: ``batches`` or ``clips``
        rank: index of this process
        world_size: number of processes

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
        balance: Sequence[int] | None = None,
        divide: Literal["batches", "clips"] = "batches",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.reshuffle = reshuffle
        self.bucket = bucket
        self.seed = seed
        self.balance = None if balance is None else np.asarray(balance)
        self.divide, self.rank, self.world_size = divide, rank, world_size
        self.epoch = 0

    @property
    def sampler(self) -> Self:
        """This sampler itself: Lightning sets the epoch of the sampler of a batch sampler, not of the batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order of the clips.

        Lightning calls this before the first batch of every epoch, also in a resumed run.
        """
        self.epoch = epoch if self.reshuffle else 0

    def __len__(self) -> int:
        clips = (
            len(range(self.rank, len(self.lengths), self.world_size)) if self.divide == "clips" else len(self.lengths)
        )
        full, rest = divmod(clips, self.batch_size)
        batches = full + (rest > 0) - (self.shuffle and rest == 1 and full > 0)
        return batches if self.divide == "clips" else math.ceil(batches / self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of this process.

        This is a generator, so that the order is drawn when the first batch is requested. Lightning creates the
        iterator of a resumed run before it sets the epoch, and an order drawn then would be that of epoch 0.
        """
        yield from self._batches()

    def _batches(self) -> list[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = np.arange(len(self.lengths)) if self.balance is None else draw_equally(self.balance, generator)
        if self.shuffle:
            generator.shuffle(order)
        if self.divide == "clips":
            order = order[self.rank :: self.world_size]
        if self.bucket:
            # With shuffle, sort within pools only: sorting all clips would group the same neighbors in every epoch.
            pool = POOL * self.batch_size if self.shuffle else max(1, len(order))
            order = np.concatenate(
                [
                    part[np.argsort(self.lengths[part], kind="stable")]
                    for part in np.split(order, range(pool, len(order), pool))
                ]
            )
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        if self.shuffle and len(batches) > 1 and len(batches[-1]) == 1 < self.batch_size:
            batches[-2:] = [np.concatenate(batches[-2:])]  # BatchNorm cannot train on a single clip
        if self.bucket and self.shuffle:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        if self.divide == "clips":
            return [batch.tolist() for batch in batches]
        share = range(self.rank, len(self) * self.world_size, self.world_size)
        return [batches[number % len(batches)].tolist() for number in share]


def draw_equally(classes: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw as many rows as there are, the same number of each class up to a difference of one.

    Args:
        classes: (N,), class of each row
        generator: random number generator

    Returns:
        (N,), row indices, grouped by class

    """
    present = np.unique(classes)
    least, spare = divmod(len(classes), len(present))
    wanted = dict.fromkeys(present.tolist(), least)
    for class_number in generator.permutation(present)[:spare].tolist():
        wanted[class_number] += 1
    drawn = []
    for class_number, count in wanted.items():
        rows = np.flatnonzero(classes == class_number)
        repeats, rest = divmod(count, len(rows))
        drawn += [np.tile(rows, repeats), generator.choice(rows, rest, replace=False)]
    return np.concatenate(drawn)
