"""Which clips make up which batch."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

POOL = 8  # batches of like length are cut from so many batches of shuffled clips


class BatchSampler(Sampler[list[int]]):
    """Cut a dataset into batches; the order of an epoch is a function of the seed and the epoch alone.

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
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.reshuffle = reshuffle
        self.bucket = bucket
        self.seed = seed
        self.balance = None if balance is None else np.asarray(balance)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; Lightning calls it, so that a resumed run goes on in the order it left."""
        self.epoch = epoch if self.reshuffle else 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.lengths), self.batch_size)
        return full + (rest > 0) - (self.shuffle and rest == 1 and full > 0)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = np.arange(len(self.lengths)) if self.balance is None else draw_equally(self.balance, generator)
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
