"""Train/test leakage checks of a split and of a trained model.

A finding has one of four severities. ``leak``: information about evaluated clips reached training or the choice of the
checkpoint, which invalidates the result. ``shared``: something that subsets share by design of the protocol, such as
speakers; it limits what a result can claim. ``corpus error``: a fault of the corpus folder, such as duplicate files,
that this project corrects and other programs may not. ``unchecked``: something that cannot be checked, because the
corpus does not give what the check compares.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.split import SUBSETS, UNUSED, Split

LEAK, CORPUS_ERROR, SHARED, UNCHECKED = "leak", "corpus error", "shared", "unchecked"
EVALUATED = ("test", "val")
EXAMPLES = 3
NO_LEAK = "no leak found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Result of one check.

    Args:
        name: name of the check
        severity: how serious the finding is if ``found``: leak, corpus error, shared or unchecked
        found: whether the check found anything
        counts: number of items found and number of items checked, by subset
        sentence: the result as text
        examples: pairs of names, such as a test clip and its other take

    """

    name: str
    severity: str
    found: bool
    counts: Mapping[str, tuple[int, int]]
    sentence: str
    examples: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain types."""
        return {
            "name": self.name,
            "severity": self.severity,
            "found": self.found,
            "counts": {subset: {"count": count, "of": of} for subset, (count, of) in self.counts.items()},
            "sentence": self.sentence,
            "examples": [list(pair) for pair in self.examples],
        }


def summarize(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return the leak section of a result: whether there is a leak, a summary as text and all findings."""
    findings = list(findings)
    leaks, unchecked = (
        [finding.sentence for finding in findings if finding.found and finding.severity == severity]
        for severity in (LEAK, UNCHECKED)
    )
    return {
        "leak": bool(leaks),
        "summary": "; ".join(["leaks: " + "; ".join(leaks) if leaks else NO_LEAK, *unchecked]),
        "findings": [finding.as_dict() for finding in findings],
    }


def audit_split(utterances: Sequence[Utterance], split: Split, contents: Contents) -> list[Finding]:
    """Check which properties the clips of each subset share with other subsets.

    Another take of the same utterance in training counts as a leak: speaker, emotion, intensity and sentence are the
    same, so the clips differ only in the take. A speaker or a sentence that is also in training is reported as shared,
    because a speaker-dependent or sentence-dependent protocol allows it.

    Args:
        utterances: the corpus
        split: split of the whole corpus
        contents: content of the audio files; files that could not be read are not compared

    """
    by_id = {utterance.id: utterance for utterance in utterances}
    members = {subset: [by_id[id_] for id_ in getattr(split, subset)] for subset in SUBSETS}
    samples = {u.id: contents.samples[u.content] for u in utterances if u.content in contents.samples}
    similar_to: dict[str, set[str]] = defaultdict(set)
    for one, other, _ in contents.near:
        similar_to[one].add(other)
        similar_to[other].add(one)
    ids_of = defaultdict(list)
    for id_ in sorted(samples):
        ids_of[samples[id_]].append(id_)
    identical = {id_: [other for other in ids_of[digest] if other != id_] for id_, digest in samples.items()}
    similar = {
        id_: sorted(other for neighbor in similar_to[digest] for other in ids_of[neighbor])
        for id_, digest in samples.items()
    }
    return [
        *_duplicates(split, identical, "identical audio", "an identical recording"),
        *_duplicates(split, similar, "near duplicates", "a near duplicate"),
        *(
            _in_training(members, key, name, severity, what)
            for name, severity, key, what in (
                ("other take in training", LEAK, _take, "have their other take in training"),
                (
                    "same speaker, emotion and intensity in training",
                    SHARED,
                    _act,
                    "have a clip of the same speaker, emotion and intensity in training",
                ),
                ("same speaker in training", SHARED, _speaker, "have their speaker in training"),
                ("same statement in training", SHARED, _statement, "have their statement in training"),
            )
        ),
        *(_unknown(utterances, field) for field in ("speaker", "statement")),
    ]


def _unknown(utterances: Sequence[Utterance], field: str) -> Finding:
    """Report how many utterances lack a field, so that leakage over it cannot be checked."""
    lacking = sum(getattr(utterance, field) is None for utterance in utterances)
    return Finding(
        name=f"unknown {field}s",
        severity=UNCHECKED,
        found=lacking > 0,
        counts={},
        sentence=(
            f"leakage over {field}s cannot be checked: the corpus gives no {field} for {lacking} of {len(utterances)}"
            " utterances"
            if lacking
            else f"the corpus gives the {field} of every utterance"
        ),
    )


# The keys are None where the corpus does not give the field, so that such clips are equal to no other.
def _take(utterance: Utterance) -> Hashable:
    act = _act(utterance)
    return act and utterance.statement and (act, utterance.statement)


def _act(utterance: Utterance) -> Hashable:
    speaker = _speaker(utterance)
    return speaker and (speaker, utterance.emotion, utterance.intensity)


def _speaker(utterance: Utterance) -> Hashable:
    return utterance.speaker and (utterance.corpus, utterance.speaker)


def _statement(utterance: Utterance) -> Hashable:
    return utterance.statement and (utterance.corpus, utterance.statement)


def _in_training(
    members: Mapping[str, Sequence[Utterance]],
    key: Callable[[Utterance], Hashable],
    name: str,
    severity: str,
    what: str,
) -> Finding:
    """Count the validation and test clips that have the same key as a training clip."""
    trained: dict[Hashable, str] = {}
    for utterance in members["train"]:
        if key(utterance):
            trained.setdefault(key(utterance), utterance.id)
    pairs = {
        subset: [(utterance.id, trained[key(utterance)]) for utterance in members[subset] if key(utterance) in trained]
        for subset in EVALUATED
    }
    return _count(name, severity, pairs, {subset: len(members[subset]) for subset in EVALUATED}, f"clips {what}")


def _duplicates(split: Split, others: Mapping[str, Sequence[str]], name: str, what: str) -> tuple[Finding, Finding]:
    """Count the clips with a duplicate in another subset, and those with a duplicate in their own subset."""
    subset_of = split.subset_of()
    across: dict[str, list[tuple[str, str]]] = {subset: [] for subset in EVALUATED}
    within: dict[str, list[tuple[str, str]]] = {subset: [] for subset in (*EVALUATED, "train")}
    for subset, own in within.items():
        for id_ in getattr(split, subset):
            inside = [other for other in others.get(id_, ()) if subset_of[other] == subset]
            outside = [other for other in others.get(id_, ()) if subset_of[other] not in (subset, UNUSED)]
            if inside:
                own.append((id_, inside[0]))
            if outside and subset in across:  # a training clip is reported by its duplicate
                across[subset].append((id_, outside[0]))
    of = {subset: len(getattr(split, subset)) for subset in within}
    return (
        _count(f"{name} across subsets", LEAK, across, of, f"clips have {what} in another subset"),
        _count(f"{name} within a subset", SHARED, within, of, f"clips have {what} in their own subset"),
    )


def _count(
    name: str,
    severity: str,
    pairs: Mapping[str, Sequence[tuple[str, str]]],
    of: Mapping[str, int],
    what: str,
) -> Finding:
    counts = {subset: (len(found), of[subset]) for subset, found in pairs.items()}
    affected = {subset: count for subset, count in counts.items() if count[0]} or counts
    *most, last = (f"{count} of {total} {subset}" for subset, (count, total) in affected.items())
    return Finding(
        name=name,
        severity=severity,
        found=any(count for count, _ in counts.values()),
        counts=counts,
        sentence=f"{', '.join(most)}{' and ' * bool(most)}{last} {what}",
        examples=tuple(pair for found in pairs.values() for pair in found)[:EXAMPLES],
    )


def audit_folder(kept: Mapping[str, str], left_out: Mapping[str, str]) -> Finding:
    """Count the unused files of a corpus folder that duplicate another file of the folder.

    A program that uses every file of such a folder can have the same clip on both sides of any split.

    Args:
        kept: digest of the content of each used file, by path
        left_out: digest of the content of each unused file, by path

    """
    paths_of = defaultdict(list)
    for path, content in (*sorted(kept.items()), *sorted(left_out.items())):
        paths_of[content].append(path)
    copies = [
        (path, next(other for other in paths_of[content] if other != path))
        for path, content in sorted(left_out.items())
        if len(paths_of[content]) > 1
    ]
    total = len(kept) + len(left_out)
    return Finding(
        name="copies in the corpus folder",
        severity=CORPUS_ERROR,
        found=bool(copies),
        counts={"folder": (len(copies), total)},
        sentence=f"{len(copies)} of {total} audio files in the corpus folder are copies of another and left out",
        examples=tuple(copies[:EXAMPLES]),
    )


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
    of = {subset: len(rows[subset]) for subset in pairs}
    return _count("augmented copies elsewhere", LEAK, pairs, of, "rows are, or were made of, a clip of another subset")


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
    of = {subset: len(rows[subset]) for subset in pairs}
    return _count("another copy in training", LEAK, pairs, of, "rows have another copy of their clip in training")


def audit_normalizer(
    fitted: tuple[npt.ArrayLike, npt.ArrayLike] | None, frames: Iterable[npt.NDArray[np.float32]]
) -> Finding:
    """Compare the normalization statistics of a network with those of the training clips, computed anew.

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


def audit_statistics(*, updated: bool) -> Finding:
    """Report whether BatchNorm's running statistics are updated with the evaluated clips.

    Args:
        updated: whether the configuration updates them

    """
    sentence = f"the running statistics of BatchNorm {'are' if updated else 'are not'} updated with the evaluated clips"
    return Finding(
        name="running statistics of evaluated clips", severity=LEAK, found=updated, counts={}, sentence=sentence
    )


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
