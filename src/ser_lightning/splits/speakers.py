"""Speaker-independent splits: test speakers are not in the training set."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.split import Split, check_split, require_field
from ser_lightning.splits.takes import check_fold, unique_statements

DECIMALS = 9  # to which improvements of the balance are compared, so that rounding errors do not decide


def assign_speakers(
    utterances: Sequence[Utterance], *, folds: int | None, seed: int, split: str
) -> list[tuple[str, ...]]:
    """Assign the speakers to folds, balanced by number and gender first, and by emotion second.

    The numbers of speakers of two folds differ by at most one, and so do those of each gender. Then speakers of one
    gender are swapped between folds as long as this brings the shares of the emotions in the folds closer to equal.

    Args:
        utterances: the corpus
        folds: number of folds; None for one fold per speaker
        seed: seed of the order of the speakers within each gender
        split: option of the split that needs them, for messages

    Raises:
        InputError: an utterance has no speaker, or there are fewer speakers than folds, or fewer than the three that
            three subsets need

    """
    speaker_of = require_field(utterances, "speaker", split=split)
    genders: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        genders[utterance.gender or ""].add(speaker_of[utterance.id])
    groups = [sorted(genders[gender]) for gender in sorted(genders)]
    generator = random.Random(seed)
    for group in groups:
        generator.shuffle(group)
    count = sum(map(len, groups))
    if count < 3:
        raise InputError(
            f"the corpus has {count} speaker{'s' * (count != 1)}; expected at least 3 for split={split}, one each for"
            " training, validation and testing; use split=take, statement, kfold or random"
        )
    if folds is None:  # alternating, so that the validation speakers are of both genders
        longest = max(map(len, groups), default=0)
        return [(group[n],) for n in range(longest) for group in groups if n < len(group)]
    if count < folds:
        raise InputError(
            f"split.folds is {folds}, but the corpus has {count} speakers; set split.folds={count} or less"
        )
    speakers = [speaker for group in groups for speaker in group]
    fold_of = np.arange(count) % folds
    gender_of = np.repeat(np.arange(len(groups)), list(map(len, groups)))
    _balance_emotions(fold_of, gender_of, _emotion_shares(utterances, speakers))
    return [tuple(sorted(speakers[n] for n in np.flatnonzero(fold_of == fold))) for fold in range(folds)]


def _emotion_shares(utterances: Sequence[Utterance], speakers: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the share of each emotion's clips that each speaker has, (speakers, emotions)."""
    number = Counter((utterance.speaker, utterance.emotion) for utterance in utterances)
    emotions = sorted({utterance.emotion for utterance in utterances})
    counts = np.array([[number[speaker, emotion] for emotion in emotions] for speaker in speakers], dtype=np.float64)
    shares: npt.NDArray[np.float64] = counts / counts.sum(axis=0)
    return shares


def _balance_emotions(
    fold_of: npt.NDArray[np.int64], gender_of: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
) -> None:
    """Swap speakers of one gender between folds while the sum of the squared shares of the folds decreases.

    The sum is least if every fold has the same share of each emotion. Every emotion counts equally, however rare.

    Args:
        fold_of: (speakers,), fold of each speaker, changed in place
        gender_of: (speakers,), number of the gender of each speaker
        shares: (speakers, emotions), share of each emotion's clips that each speaker has

    """
    totals = np.zeros((fold_of.max() + 1, shares.shape[1]))  # (folds, emotions)
    np.add.at(totals, fold_of, shares)
    swapped = True
    while swapped:
        swapped = False
        for speaker in range(len(fold_of)):
            gain = shares - shares[speaker]  # what the fold of ``speaker`` receives from each other speaker instead
            change = (gain * (totals[fold_of[speaker]] - totals[fold_of] + gain)).sum(axis=1)
            change[(gender_of != gender_of[speaker]) | (fold_of == fold_of[speaker])] = 0
            partner = int(np.argmin(change.round(DECIMALS)))
            if change[partner] < -(10**-DECIMALS):
                totals[fold_of[speaker]] += gain[partner]
                totals[fold_of[partner]] -= gain[partner]
                fold_of[speaker], fold_of[partner] = fold_of[partner], fold_of[speaker]
                swapped = True


class SpeakerSplit:
    """Test on the speakers of one fold, validate on those of the following folds and train on all others.

    A sweep over ``fold`` is a cross-validation: every speaker is tested once.

    Args:
        folds: number of folds, see :func:`assign_speakers`; None for one fold per speaker (leave one speaker out)
        fold: index of the test fold, counted from 0
        val_folds: number of following folds used for validation
        seed: seed of the assignment of speakers to folds

    Raises:
        InputError: no validation fold or too few folds for training; ``fold`` out of range

    """

    def __init__(self, *, folds: int | None, fold: int, val_folds: int, seed: int) -> None:
        check_folds(folds, val_folds)
        check_fold(fold, folds)
        self.folds, self.fold, self.val_folds, self.seed = folds, fold, val_folds, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: there are too few speakers, or ``fold`` is out of range

        """
        split = "loso" if self.folds is None else "speaker"
        assigned = assign_speakers(utterances, folds=self.folds, seed=self.seed, split=split)
        subset_of = subsets_of_speakers(assigned, fold=self.fold, val_folds=self.val_folds)
        return split_by(utterances, {u.id: subset_of[str(u.speaker)] for u in utterances}, fold=self.fold)


class SpeakerStatementSplit:
    """Test on unseen speakers who say an unseen statement.

    The training set contains neither the test speakers nor the test statement. The validation set contains other
    speakers with the training statements, so that the test statement occurs only in the test set. The remaining clips,
    test speakers with training statements and other speakers with the test statement, are unused.

    Args:
        folds: number of folds of speakers, see :func:`assign_speakers`
        fold: index of the test pair of speaker fold and statement, counted from 0; the speaker fold varies fastest
        val_folds: number of speaker folds used for validation
        seed: seed of the assignment of speakers to folds

    Raises:
        InputError: no validation fold or too few folds for training; ``fold`` below 0

    """

    def __init__(self, *, folds: int, fold: int, val_folds: int, seed: int) -> None:
        check_folds(folds, val_folds)
        check_fold(fold)
        self.folds, self.fold, self.val_folds, self.seed = folds, fold, val_folds, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: there are too few speakers or statements, or ``fold`` is out of range

        """
        statements = unique_statements(utterances, split="speaker_statement")
        check_fold(self.fold, self.folds * len(statements), what="fold of speakers and statement")
        new, fold = statements[self.fold // self.folds], self.fold % self.folds
        assigned = assign_speakers(utterances, folds=self.folds, seed=self.seed, split="speaker_statement")
        subset_of = subsets_of_speakers(assigned, fold=fold, val_folds=self.val_folds)
        subsets = {u.id: subset_of[str(u.speaker)] for u in utterances}
        unused = [u.id for u in utterances if (subsets[u.id] == "test") != (u.statement == new)]
        return split_by(utterances, subsets | dict.fromkeys(unused, "unused"), fold=self.fold)


def check_folds(folds: int | None, val_folds: int) -> None:
    """Check that there are enough folds to train, validate and test.

    Raises:
        InputError: no fold is left for training, or there is no validation fold

    """
    if val_folds < 1 or (folds is not None and folds < val_folds + 2):
        raise InputError(
            f"split.folds is {folds} and split.val_folds is {val_folds}; expected at least one fold for validation and"
            " two more, for testing and training"
        )


def subsets_of_speakers(assigned: Sequence[Sequence[str]], *, fold: int, val_folds: int) -> dict[str, str]:
    """Return the subset of every speaker.

    Fold ``fold`` is the test set and the ``val_folds`` folds after it, wrapping around, are the validation set.

    Raises:
        InputError: ``fold`` is out of range, or no fold is left for training

    """
    check_fold(fold, len(assigned))
    if len(assigned) < val_folds + 2:
        speakers = sum(map(len, assigned))
        raise InputError(
            f"split.val_folds is {val_folds}, but the {speakers} speakers make {len(assigned)} folds; expected at most"
            f" {len(assigned) - 2}, so that one is left for testing and one for training"
        )
    of_fold = dict.fromkeys(range(len(assigned)), "train") | {fold: "test"}
    of_fold |= {(fold + n) % len(assigned): "val" for n in range(1, val_folds + 1)}
    return {speaker: of_fold[n] for n, speakers in enumerate(assigned) for speaker in speakers}


def split_by(utterances: Sequence[Utterance], subset_of: dict[str, str], *, fold: int) -> Split:
    """Return the split with the given subset of every utterance id, checked against the corpus."""
    members: dict[str, list[str]] = {"train": [], "val": [], "test": [], "unused": []}
    for id_ in sorted(subset_of):
        members[subset_of[id_]].append(id_)
    split = Split(**{subset: tuple(ids) for subset, ids in members.items()})
    return check_split(split, utterances, source=f"the split by speakers, fold {fold}")
