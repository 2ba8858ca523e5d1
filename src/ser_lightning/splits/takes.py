"""Splits of clips that keep all takes of an utterance in one subset."""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, check_value
from ser_lightning.splits.random import check_fractions
from ser_lightning.splits.split import Split, check_split, require_field


def take_of(utterance: Utterance) -> Hashable:
    """Return the key that all takes of an utterance share: speaker, emotion, intensity and statement."""
    return utterance.speaker, utterance.emotion, utterance.intensity, utterance.statement


def draw_takes(utterances: Iterable[Utterance], *, fractions: Sequence[float], seed: int) -> list[tuple[str, ...]]:
    """Shuffle the utterances with a seed and cut them at the fractions, keeping all takes of an utterance together.

    Args:
        utterances: the utterances to draw from
        fractions: fraction of the distinct utterances in each part; they sum to 1
        seed: seed of the shuffle

    Returns:
        The ids of each part, sorted.

    """
    takes: dict[Hashable, list[str]] = defaultdict(list)
    for utterance in sorted(utterances, key=lambda utterance: utterance.id):
        takes[take_of(utterance)].append(utterance.id)
    keys = list(takes)
    random.Random(seed).shuffle(keys)
    # Adding 1e-6 guards against rounding, as in RandomSplit.
    cuts = [int(sum(fractions[:n]) * len(keys) + 1e-6) for n in range(len(fractions))] + [len(keys)]
    return [tuple(sorted(id_ for key in keys[start:stop] for id_ in takes[key])) for start, stop in pairwise(cuts)]


class TakeSplit:
    """Random split as :class:`~ser_lightning.splits.random.RandomSplit` that keeps the takes of an utterance together.

    No validation or test clip has another take of the same speaker, emotion, intensity and statement in training.
    Speakers and statements are shared among the subsets.

    Args:
        seed: seed of the shuffle; the same seed and corpus give the same split
        train: fraction of the distinct utterances in the training set
        val: fraction of the distinct utterances in the validation set
        test: fraction of the distinct utterances in the test set

    Raises:
        InputError: a fraction is outside (0, 1), or the fractions do not sum to 1

    """

    def __init__(self, *, seed: int, train: float, val: float, test: float) -> None:
        check_fractions(train=train, val=val, test=test)
        self.seed, self.fractions = seed, (train, val, test)

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Draw the split of a corpus.

        Raises:
            InputError: an utterance has no speaker or statement, or the corpus is too small for every subset to have
                an utterance

        """
        for field in ("speaker", "statement"):
            require_field(utterances, field, split="take")
        train, val, test = draw_takes(utterances, fractions=self.fractions, seed=self.seed)
        split = Split(train=train, val=val, test=test)
        return check_split(split, utterances, source=f"split=take over {len(utterances)} utterances")


class StatementSplit:
    """Test on one statement and train on the others, so that the test statement does not occur in training.

    The validation set is drawn from the training statements, keeping takes together. Speakers are shared among the
    subsets.

    Args:
        fold: index of the test statement in sorted order, counted from 0
        val: fraction of the distinct utterances of the other statements in the validation set
        seed: seed of the draw of the validation set

    Raises:
        InputError: ``val`` is outside (0, 1), or ``fold`` is below 0

    """

    def __init__(self, *, fold: int, val: float, seed: int) -> None:
        check_value("split.val", val, valid=0 < val < 1, expected="a fraction between 0 and 1")
        self.fold, self.val, self.seed = fold, val, seed
        check_fold(fold)

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: an utterance has no statement, there are fewer than two statements, or ``fold`` is out of range

        """
        statements = unique_statements(utterances, split="statement")
        check_fold(self.fold, len(statements), what="statement")
        others = [u for u in utterances if u.statement != statements[self.fold]]
        train, val = draw_takes(others, fractions=(1 - self.val, self.val), seed=self.seed)
        test = tuple(sorted(u.id for u in utterances if u.statement == statements[self.fold]))
        split = Split(train=train, val=val, test=test)
        return check_split(split, utterances, source=f"split=statement, fold {self.fold}")


def unique_statements(utterances: Sequence[Utterance], *, split: str) -> list[str]:
    """Return the statements of a corpus, sorted.

    Args:
        utterances: the corpus
        split: option of the split that needs them, for messages

    Raises:
        InputError: an utterance has no statement, there are fewer than two statements, or each has only one emotion, so
            that testing on one is meaningless

    """
    statement_of = require_field(utterances, "statement", split=split)
    emotions: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        emotions[statement_of[utterance.id]].add(utterance.emotion)
    if len(emotions) < 2:
        raise InputError(
            f"the corpus has {len(emotions)} statement; split={split} needs at least 2; use split=take or speaker"
        )
    if max(map(len, emotions.values())) < 2:
        raise InputError(
            f"each of the {len(emotions)} statements of the corpus is spoken with only one emotion; split={split} needs"
            " statements spoken with several; use split=take or speaker"
        )
    return sorted(emotions)


def check_fold(fold: int, folds: int | None = None, *, what: str = "fold") -> None:
    """Check that a fold index is in range.

    Args:
        fold: index, counted from 0
        folds: number of folds, or None if it is not known
        what: what one fold is, for the error message

    Raises:
        InputError: the index is out of range

    """
    expected = "at least 0" if folds is None else f"0 to {folds - 1}, one a {what}"
    check_value("split.fold", fold, valid=fold >= 0 and (folds is None or fold < folds), expected=expected)
