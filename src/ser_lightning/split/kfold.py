"""Folds of clips drawn at random."""

import random
from collections.abc import Sequence

from ser_lightning.corpus.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.split.split import Split, check_split
from ser_lightning.split.takes import check_fold


class KFoldSplit:
    """Test on one of several folds of clips drawn at random, and draw validation from the others.

    Speakers, sentences and takes are shared among the subsets: what such a split measures is not how well a new
    speaker is recognised. A sweep over ``fold`` is a cross-validation: every clip is tested once.

    Args:
        folds: how many; their sizes differ by one clip at most
        fold: which one is the test, counted from 0
        val: fraction of the clips of the other folds to choose a checkpoint by; at least one clip
        seed: of both draws; the folds do not depend on ``fold`` or ``val``

    Raises:
        InputError: fewer than two folds, a fold of no such number, a fraction outside (0, 1)

    Source: the protocol of TIM-Net (Ye et al. 2023, ICASSP), ``KFold(n_splits=10, shuffle=True, random_state=46)`` over
    the clips, which keeps no validation apart. The clips of its folds are not ours: another generator shuffles.

    """

    def __init__(self, *, folds: int, fold: int, val: float, seed: int) -> None:
        if folds < 2:
            raise InputError(f"split.folds is {folds}; expected at least 2, one to test on and one to learn from")
        if not 0 < val < 1:
            raise InputError(f"split.val is {val}; expected a fraction between 0 and 1")
        check_fold(fold, folds)
        self.folds, self.fold, self.val, self.seed = folds, fold, val, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Draw the split of a corpus.

        Raises:
            InputError: the corpus is too small to give every fold and every subset an utterance

        """
        ids = sorted(utterance.id for utterance in utterances)
        if len(ids) < self.folds:
            raise InputError(
                f"split.folds is {self.folds}, but the corpus has {len(ids)} clips; expected at most as many folds"
            )
        random.Random(self.seed).shuffle(ids)
        cuts = [len(ids) * n // self.folds for n in range(self.folds + 1)]
        test = ids[cuts[self.fold] : cuts[self.fold + 1]]
        rest = sorted(set(ids) - set(test))
        random.Random(f"{self.seed} {self.fold}").shuffle(rest)
        count = max(1, int(self.val * len(rest) + 1e-6))  # as in RandomSplit: binary fractions cut no clip short
        split = Split(train=tuple(sorted(rest[count:])), val=tuple(sorted(rest[:count])), test=tuple(sorted(test)))
        return check_split(split, utterances, source=f"split=kfold over {len(ids)} utterances, fold {self.fold}")
