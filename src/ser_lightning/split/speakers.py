"""Splits over speakers: who is measured was not heard in training."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ser_lightning.corpus.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.split.split import Split, check_split
from ser_lightning.split.takes import check_fold, statements_of


def deal_speakers(utterances: Iterable[Utterance], *, folds: int | None, seed: int) -> list[tuple[str, ...]]:
    """Deal the speakers to folds, women and men by turns, so that no fold has over one more of either than another.

    Args:
        utterances: the corpus
        folds: how many; None for one a speaker
        seed: of the order within each gender

    Raises:
        InputError: there are fewer speakers than folds, or too few to be told apart in three subsets

    """
    genders: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        genders[utterance.gender].add(utterance.speaker)
    groups = [sorted(genders[gender]) for gender in sorted(genders)]
    generator = random.Random(seed)
    for group in groups:
        generator.shuffle(group)
    count = sum(map(len, groups))
    if count < 3:
        raise InputError(
            f"the corpus has {count} speaker{'s' * (count != 1)}; expected at least 3 for a split by speakers, to test"
            " on, to validate on and to learn from; use split=take, statement, kfold or random"
        )
    if folds is None:  # by turns, so that neighbours, who validate, are of both genders
        longest = max(map(len, groups), default=0)
        return [(group[n],) for n in range(longest) for group in groups if n < len(group)]
    if count < folds:
        raise InputError(f"split.folds is {folds}, but the corpus has {count} speakers; expected at most as many folds")
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for n, speaker in enumerate(speaker for group in groups for speaker in group):
        dealt[n % folds].append(speaker)
    return [tuple(sorted(fold)) for fold in dealt]


class SpeakerSplit:
    """Test on the speakers of one fold, validate on those of the next ones, learn from all others.

    A sweep over ``fold`` is a cross-validation: every speaker is tested once.

    Args:
        folds: how many, gender-balanced; None for one a speaker (leave one speaker out)
        fold: which one is the test, counted from 0
        val_folds: how many of the folds that follow it choose a checkpoint
        seed: of the draw of speakers to folds

    Raises:
        InputError: numbers that leave no fold to learn from; a fold below 0

    """

    def __init__(self, *, folds: int | None, fold: int, val_folds: int, seed: int) -> None:
        check_folds(folds, val_folds)
        check_fold(fold, folds)
        self.folds, self.fold, self.val_folds, self.seed = folds, fold, val_folds, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: there are too few speakers, or no fold of that number

        """
        dealt = deal_speakers(utterances, folds=self.folds, seed=self.seed)
        subset_of = subsets_of_speakers(dealt, fold=self.fold, val_folds=self.val_folds)
        return split_by(utterances, {u.id: subset_of[u.speaker] for u in utterances}, fold=self.fold)


class SpeakerStatementSplit:
    """Test on new speakers who say a new statement.

    Training has neither the speakers nor the statement of the test, validation has other speakers with the statements
    of training: the statement of the test is heard nowhere before. What is left, the speakers of the test with the
    statements of training and the reverse, is unused.

    Args:
        folds: of the speakers, gender-balanced
        fold: which pair of speakers and statement is the test, counted from 0; the speakers turn first
        val_folds: how many folds of speakers choose a checkpoint
        seed: of the draw of speakers to folds

    Raises:
        InputError: numbers that leave no fold to learn from; a fold below 0

    """

    def __init__(self, *, folds: int, fold: int, val_folds: int, seed: int) -> None:
        check_folds(folds, val_folds)
        check_fold(fold)
        self.folds, self.fold, self.val_folds, self.seed = folds, fold, val_folds, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: there are too few speakers or statements, or no pair of that number

        """
        statements = statements_of(utterances)
        check_fold(self.fold, self.folds * len(statements), what="fold of speakers and statement")
        new, fold = statements[self.fold // self.folds], self.fold % self.folds
        dealt = deal_speakers(utterances, folds=self.folds, seed=self.seed)
        subset_of = subsets_of_speakers(dealt, fold=fold, val_folds=self.val_folds)
        subsets = {u.id: subset_of[u.speaker] for u in utterances}
        unused = [u.id for u in utterances if (subsets[u.id] == "test") != (u.statement == new)]
        return split_by(utterances, subsets | dict.fromkeys(unused, "unused"), fold=self.fold)


def check_folds(folds: int | None, val_folds: int) -> None:
    """Hold the number of folds against what is needed to learn, validate and test.

    Raises:
        InputError: no fold is left to learn from, or none validates

    """
    if val_folds < 1 or (folds is not None and folds < val_folds + 2):
        raise InputError(
            f"split.folds is {folds} and split.val_folds {val_folds}; expected one fold at least to validate on and"
            " two more, to test on and to learn from"
        )


def subsets_of_speakers(dealt: Sequence[Sequence[str]], *, fold: int, val_folds: int) -> dict[str, str]:
    """Return the subset of every speaker: the fold is the test, those that follow it, around the end, validate.

    Raises:
        InputError: there is no fold of that number, or none is left to learn from

    """
    check_fold(fold, len(dealt))
    if len(dealt) < val_folds + 2:
        speakers = sum(map(len, dealt))
        raise InputError(
            f"split.val_folds is {val_folds}, but the {speakers} speakers make {len(dealt)} folds; expected at most"
            f" {len(dealt) - 2}, so that one is left to test on and one to learn from"
        )
    of_fold = dict.fromkeys(range(len(dealt)), "train") | {fold: "test"}
    of_fold |= {(fold + n) % len(dealt): "val" for n in range(1, val_folds + 1)}
    return {speaker: of_fold[n] for n, speakers in enumerate(dealt) for speaker in speakers}


def split_by(utterances: Sequence[Utterance], subset_of: dict[str, str], *, fold: int) -> Split:
    """Return the split that gives every utterance id its subset, checked against the corpus."""
    members: dict[str, list[str]] = {"train": [], "val": [], "test": [], "unused": []}
    for id_ in sorted(subset_of):
        members[subset_of[id_]].append(id_)
    split = Split(**{subset: tuple(ids) for subset, ids in members.items()})
    return check_split(split, utterances, source=f"the split by speakers, fold {fold}")
