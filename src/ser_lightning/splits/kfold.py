"""Cross-validation over random folds of clips."""

import random
from collections.abc import Sequence

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, check_value
from ser_lightning.splits.split import Split, check_split
from ser_lightning.splits.takes import check_fold


class KFoldSplit:
    """Test on one of several random folds of clips, and draw the validation set from the others.

    The split is speaker-dependent: subsets share speakers, sentences and takes, so that results do not show how well
    emotions of unseen speakers are recognized. A sweep over ``fold`` is a cross-validation: every clip is tested once.

    Args:
        folds: number of folds, whose sizes differ by at most one clip
        fold: index of the test fold, counted from 0
        val: fraction of the clips of the other folds in the validation set, at least one clip
        seed: seed of both draws; the folds do not depend on ``fold`` or ``val``

    Raises:
        InputError: fewer than two folds, ``fold`` out of range, a fraction outside (0, 1)

    Source: the protocol of TIM-Net (Ye et al. 2023, ICASSP), ``KFold(n_splits=10, shuffle=True, random_state=46)`` over
    the clips, without a validation set. The folds here contain other clips, because another random generator shuffles
    them.

    """

    def __init__(self, *, folds: int, fold: int, val: float, seed: int) -> None:
        check_value("split.folds", folds, valid=folds >= 2, expected="at least 2, one for testing and one for training")
        check_value("split.val", val, valid=0 < val < 1, expected="a fraction between 0 and 1")
        check_fold(fold, folds)
        self.folds, self.fold, self.val, self.seed = folds, fold, val, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Draw the split of a corpus.

        Raises:
            InputError: the corpus is too small for every fold and every subset to have an utterance

        """
        ids = sorted(utterance.id for utterance in utterances)
        if len(ids) < self.folds:
            raise InputError(
                f"split.folds is {self.folds}, but the corpus has {len(ids)} clips; expected at most as many folds"
            )
        random.Random(self.seed).shuffle(ids)
        cuts = [len(ids) * n // self.folds for n in range(self.folds + 1)]
        test = ids[cuts[self.fold] : cuts[self.fold + 1]]
        others = sorted(set(ids) - set(test))
        random.Random(f"{self.seed} {self.fold}").shuffle(others)
        count = max(1, int(self.val * len(others) + 1e-6))  # as in RandomSplit, against rounding
        split = Split(train=tuple(sorted(others[count:])), val=tuple(sorted(others[:count])), test=tuple(sorted(test)))
        return check_split(split, utterances, source=f"split=kfold over {len(ids)} utterances, fold {self.fold}")
