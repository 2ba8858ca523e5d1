"""Which clips make up which batch."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

POOL = 8  # batches of like length are cut from so many batches of shuffled clips


class BatchSampler(Sampler[list[int]]):
    """Divide a dataset into batches; the order of an epoch is a function of the seed and the epoch alone.

    A distributed run divides the dataset among its processes. For training (``divide="batches"``) each process takes
    every ``world_size``-th batch, and the first batches are repeated where some process would get one fewer, because
    all must take equally many steps. For evaluation (``divide="clips"``) each takes every ``world_size``-th clip and
    none is repeated, so that metrics count every clip once.

    Every clip appears once an epoch. With ``bucket``, clips of like length share a batch, so that little of it is
    padding: what changes is which clips meet in a batch, not how often one is seen.

    With ``balance`` an epoch has as many draws as there are clips, and every class the same share of them. Of a class
    with more clips than that a part is left out, anew in every epoch; those of a class with fewer come several times,
    each as often as the others or once more. A network then learns as if all classes were equally frequent.

    Args:
        lengths: frames of each clip
        batch_size: clips a batch; the last may be smaller, or larger by one when shuffled
        shuffle: shuffle the clips
        reshuffle: draw the order anew every epoch; else the first is kept
        bucket: make batches of clips of like length
        seed: of the shuffle and of what is drawn
        balance: (N,), class of each clip, if every class is to be drawn equally often
        divide: among the processes: ``batches`` or ``clips``
        rank: number of this process
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

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; Lightning calls it before the first batch, also of a resumed run."""
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

        A generator: the order is drawn when the first batch is asked for. Lightning creates the iterator of a resumed
        run before it sets the epoch, so that an order drawn at creation would be that of epoch 0.
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
            # Sorted within pools when shuffled: over the whole epoch the same neighbors would meet every time.
            pool = POOL * self.batch_size if self.shuffle else max(1, len(order))
            order = np.concatenate(
                [
                    part[np.argsort(self.lengths[part], kind="stable")]
                    for part in np.split(order, range(pool, len(order), pool))
                ]
            )
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        if self.shuffle and len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [np.concatenate(batches[-2:])]  # BatchNorm cannot learn from a single clip
        if self.bucket and self.shuffle:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        if self.divide == "clips":
            return [batch.tolist() for batch in batches]
        share = range(self.rank, len(self) * self.world_size, self.world_size)
        return [batches[number % len(batches)].tolist() for number in share]


def draw_equally(classes: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw as many rows as there are, of each class that occurs as many as of any other, but for one.

    Args:
        classes: (N,), class of each row
        generator: of random numbers

    Returns:
        (N,), class by class

    """
    present = np.unique(classes)
    least, spare = divmod(len(classes), len(present))
    wanted = dict.fromkeys(present.tolist(), least)
    for one in generator.permutation(present)[:spare].tolist():
        wanted[one] += 1
    drawn = []
    for one, count in wanted.items():
        rows = np.flatnonzero(classes == one)
        whole, rest = divmod(count, len(rows))
        drawn += [np.tile(rows, whole), generator.choice(rows, rest, replace=False)]
    return np.concatenate(drawn)
