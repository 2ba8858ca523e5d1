"""Train/test leakage checks of a training: its rows, features, statistics and choice of checkpoint."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.splits.findings import EVALUATED, LEAK, SHARED, UNCHECKED, Finding, count_pairs
from ser_lightning.splits.split import Split


class TeacherClips(NamedTuple):
    """Clips of the run that is the teacher of another.

    Args:
        trained: ids of the clips that its weights were fitted to
        chosen: ids of the clips by which its checkpoint was chosen
        speakers: speaker of every clip of its corpus; None if unknown

    """

    trained: Sequence[str]
    chosen: Sequence[str]
    speakers: Mapping[str, str | None]

    @property
    def ids(self) -> set[str]:
        """Ids of all clips that shaped it."""
        return {*self.trained, *self.chosen}


def audit_teacher(name: str, teacher: TeacherClips, *, split: Split, speakers: Mapping[str, str | None]) -> Finding:
    """Count the evaluated clips that shaped a teacher, themselves or, if a split separates speakers, by their speaker.

    A validation clip of the student may have chosen the teacher's checkpoint, as it chooses that of the student.

    Args:
        name: name of the teacher
        teacher: clips of the teacher
        split: split of the student, as drawn
        speakers: speaker of each clip of the student's corpus

    """
    trained_speakers = {speakers[id_] for id_ in split.train} - {None}
    pairs: dict[str, list[tuple[str, str]]] = {}
    for subset, seen in (("test", teacher.ids), ("val", set(teacher.trained))):
        ids = getattr(split, subset)
        evaluated = {speakers[id_] for id_ in ids}
        separate = trained_speakers.isdisjoint(evaluated)
        by_speaker = {teacher.speakers[id_]: id_ for id_ in sorted(seen)} if separate else {}
        pairs[subset] = [
            (id_, id_ if id_ in seen else by_speaker[speakers[id_]])
            for id_ in ids
            if id_ in seen or (speakers[id_] is not None and speakers[id_] in by_speaker)
        ]
    totals = {subset: len(getattr(split, subset)) for subset in pairs}
    what = f"clips, or other clips of their held-out speakers, shaped the teacher {name}"
    return count_pairs("clips seen by the teacher", LEAK, pairs, totals, what)


def audit_encoder(encoder: Mapping[str, Any], corpora: Iterable[str]) -> Finding:
    """Report whether a pretrained encoder has seen the emotion labels of a corpus.

    Args:
        encoder: its ``name``, what it was ``trained_on``, and the names of the corpora whose labels it has seen
            (``labels_of``; None if unknown)
        corpora: names of the corpora of the run

    """
    names, known = sorted(set(corpora)), encoder["labels_of"]
    seen = [name for name in names if name in (known or ())]
    who = f"the encoder {encoder['name']}"
    if known is None:
        sentence = f"leakage through {who} cannot be checked: its training data are {encoder['trained_on']}"
    elif seen:
        sentence = f"{who} was trained with the emotion labels of {', '.join(seen)}"
    else:
        sentence = f"{who} was not trained with emotion labels of {', '.join(names)}"
    return Finding(
        name="labels seen by the encoder",
        severity=UNCHECKED if known is None else LEAK,
        found=bool(seen) or known is None,
        counts={},
        sentence=sentence,
    )


def audit_adaptation(normalization: Mapping[str, Any] | None) -> Finding:
    """Report whether features are normalized by clips of the evaluated speakers.

    Args:
        normalization: its ``mode`` and the clips whose ``statistics`` it uses; None without normalization by speaker

    """
    return Finding(
        name="adaptation to evaluated speakers",
        severity=SHARED,
        found=normalization is not None,
        counts={},
        sentence=(
            "no statistics of evaluated clips are used"
            if normalization is None
            else f"features are normalized by {normalization['statistics']}, without labels: transductive"
        ),
    )


def audit_rows(rows: Mapping[str, Sequence[tuple[str, str]]], split: Split) -> Finding:
    """Count the rows of each subset, clips and augmented copies, whose clip belongs to another subset.

    Args:
        rows: utterance id and name of the copy of every row, by subset
        split: split of the clips

    """
    subset_of = split.subset_of()
    pairs = {
        subset: [(f"{id_} {copy}".rstrip(), subset_of[id_]) for id_, copy in rows[subset] if subset_of[id_] != subset]
        for subset in (*EVALUATED, "train")
    }
    totals = {subset: len(rows[subset]) for subset in pairs}
    return count_pairs(
        "augmented copies elsewhere", LEAK, pairs, totals, "rows are, or were made of, a clip of another subset"
    )


def audit_siblings(rows: Mapping[str, Sequence[tuple[str, str]]]) -> Finding:
    """Count the validation and test rows for which training has another copy of the same clip, original or augmented.

    Args:
        rows: utterance id and name of the copy of every row, by subset

    """
    trained: dict[str, str] = {}
    for id_, copy in rows["train"]:
        trained.setdefault(id_, f"{id_} {copy}".rstrip())
    pairs = {
        subset: [(f"{id_} {copy}".rstrip(), trained[id_]) for id_, copy in rows[subset] if id_ in trained]
        for subset in EVALUATED
    }
    totals = {subset: len(rows[subset]) for subset in pairs}
    return count_pairs(
        "another copy in training", LEAK, pairs, totals, "rows have another copy of their clip in training"
    )


def audit_normalizer(
    fitted: tuple[npt.ArrayLike, npt.ArrayLike] | None, frames: Iterable[npt.NDArray[np.float32]]
) -> Finding:
    """Compare the normalization statistics of a network with those computed from the training clips.

    Args:
        fitted: mean and standard deviation of each feature in the network, (F,) each; None if it does not standardize
        frames: (K, F), frames of each training row

    """
    name = "normalizer fitted outside training"
    if fitted is None:
        sentence = "the network does not standardize its input"
        return Finding(name=name, severity=LEAK, found=False, counts={}, sentence=sentence)
    mean, deviation = _statistics(frames)
    scale = np.where(deviation > 1e-8, deviation, 1.0)  # a constant feature is only centered
    # The tolerance, a thousandth of a deviation, is far above rounding and below the effect of a few clips.
    same = np.allclose((np.asarray(fitted[0]) - mean) / scale, 0, atol=1e-3) and np.allclose(
        np.asarray(fitted[1]) / scale, 1, atol=1e-3
    )
    sentence = f"the network standardizes by statistics {'' if same else 'other than those '}of the training rows"
    return Finding(name=name, severity=LEAK, found=not same, counts={}, sentence=sentence)


def _statistics(
    frames: Iterable[npt.NDArray[np.float32]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean and standard deviation over all frames, merged clip by clip (Chan et al. 1979)."""
    count, mean, square = 0, np.zeros(1), np.zeros(1)
    for matrix in frames:
        clip = matrix.astype(np.float64)  # (K, F)
        gap = clip.mean(axis=0) - mean
        total = count + len(clip)
        square = square + clip.var(axis=0) * len(clip) + np.square(gap) * count * len(clip) / total
        mean = mean + gap * len(clip) / total
        count = total
    return mean, np.sqrt(square / count)


def audit_statistics(*, updated: bool) -> Finding:
    """Report whether BatchNorm's running statistics are updated with the evaluated clips.

    Args:
        updated: whether the configuration updates them

    """
    sentence = f"the running statistics of BatchNorm {'are' if updated else 'are not'} updated with the evaluated clips"
    return Finding(
        name="running statistics of evaluated clips", severity=LEAK, found=updated, counts={}, sentence=sentence
    )


def audit_choice(monitors: Mapping[str, str | None], *, checkpoint: str) -> Finding:
    """Check whether the test set was used to choose the evaluated checkpoint.

    Args:
        monitors: metric that each callback monitors, by the name of the callback; ``best`` keeps the best checkpoint
        checkpoint: the checkpoint whose metrics are the main result, ``"best"`` or ``"last"``; no metric chooses the
            last one

    """
    by_test = [
        (name, str(monitor))
        for name, monitor in sorted(monitors.items())
        if str(monitor).startswith("test") and not (name == "best" and checkpoint == "last")
    ]
    how = (
        "chosen on test, by " + ", ".join(f"{monitor} ({name})" for name, monitor in by_test)
        if by_test
        else "the last epoch, chosen by no metric"
        if checkpoint == "last"
        else f"chosen by {monitors['best']}"
        if "best" in monitors
        else "the only one, chosen by no metric"
    )
    return Finding(
        name="checkpoint chosen on test",
        severity=LEAK,
        found=bool(by_test),
        counts={},
        sentence=f"the checkpoint is {how}",
        examples=tuple(by_test),
    )
