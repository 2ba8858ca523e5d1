"""Seeded random split of utterances, as in the study."""

import math
import random
from collections.abc import Sequence

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.split import Split, check_split


def check_fractions(*, train: float, val: float, test: float) -> None:
    """Check the fractions of a split.

    Raises:
        InputError: a fraction is outside (0, 1), or the fractions do not sum to 1

    """
    fractions = (train, val, test)
    if not all(0 < fraction < 1 for fraction in fractions) or not math.isclose(sum(fractions), 1, abs_tol=1e-9):
        raise InputError(
            f"split.train, split.val and split.test are {train}, {val} and {test}; expected fractions between 0 and 1"
            " that sum to 1"
        )


class RandomSplit:
    """Shuffle the utterances with a seed and cut them at the fractions.

    The split is speaker-dependent: subsets share speakers, sentences and takes, so that results do not show how well
    emotions of unseen speakers are recognized.

    Args:
        seed: seed of the shuffle; the same seed and corpus give the same split
        train: fraction of the utterances in the training set
        val: fraction of the utterances in the validation set
        test: fraction of the utterances in the test set

    Raises:
        InputError: a fraction is outside (0, 1), or the fractions do not sum to 1

    Source: the study's data-split notebook, which cuts at ``int(0.6 n)`` and ``int(0.75 n)``: 864 / 216 / 360 of 1440.

    """

    draws_clips = True  # clips are drawn one by one, as data.augment_first requires

    def __init__(self, *, seed: int, train: float, val: float, test: float) -> None:
        check_fractions(train=train, val=val, test=test)
        self.seed = seed
        self.train = train
        self.val = val

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Draw the split of a corpus.

        Raises:
            InputError: the corpus is too small for every subset to have an utterance

        """
        ids = sorted(utterance.id for utterance in utterances)
        random.Random(self.seed).shuffle(ids)
        # 0.7 + 0.1 is 0.7999... in floating point: without adding 1e-6, 10 clips would be cut at 7 and 7.
        first = int(self.train * len(ids) + 1e-6)
        second = int((self.train + self.val) * len(ids) + 1e-6)
        split = Split(
            train=tuple(sorted(ids[:first])),
            val=tuple(sorted(ids[first:second])),
            test=tuple(sorted(ids[second:])),
        )
        return check_split(split, utterances, source=f"split=random over {len(ids)} utterances")
