"""What training knows of the clips that a result is measured on.

A ``leak`` must not be: what a network has heard, or was chosen by, is measured again as if it were new. ``shared`` is
what subsets have in common by the protocol: no fault, but it decides what a figure may claim. A ``defect`` is a fault
of the corpus folder that this project mends by itself and others may not.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.corpus.utterance import Utterance
from ser_lightning.split.split import SUBSETS, UNUSED, Split
from ser_lightning.split.twins import Contents

LEAK, DEFECT, SHARED = "leak", "defect", "shared"
EVALUATED = ("test", "val")
EXAMPLES = 3
NO_LEAK = "no leak found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The answer to one question of the audit.

    Args:
        name: what was looked for
        severity: ``"leak"``, ``"defect"`` or ``"shared"``: what it is if it is found
        found: whether it is there
        counts: how many, and of how many, by subset
        sentence: the answer in words
        examples: pairs of names, such as a test clip and its other take

    """

    name: str
    severity: str
    found: bool
    counts: Mapping[str, tuple[int, int]]
    sentence: str
    examples: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain types."""
        return {
            "name": self.name,
            "severity": self.severity,
            "found": self.found,
            "counts": {subset: {"count": count, "of": of} for subset, (count, of) in self.counts.items()},
            "sentence": self.sentence,
            "examples": [list(pair) for pair in self.examples],
        }


def summarise(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return the section of a result: whether there is a leak, a summary in words, and all findings in plain types."""
    findings = list(findings)
    leaks = [finding.sentence for finding in findings if finding.found and finding.severity == LEAK]
    return {
        "leak": bool(leaks),
        "summary": "leaks: " + "; ".join(leaks) if leaks else NO_LEAK,
        "findings": [finding.as_dict() for finding in findings],
    }


def audit_split(utterances: Sequence[Utterance], split: Split, contents: Contents) -> list[Finding]:
    """Ask of every clip what its subset shares with the others.

    Another take of an utterance in training counts as a leak: with speaker, emotion, intensity and sentence the same,
    what is left to recognise is the take. That a speaker or a sentence is in training is what a speaker-dependent or
    a sentence-dependent protocol says.

    Args:
        utterances: the corpus
        split: of all of it
        contents: of the files of the utterances; what could not be read is not compared

    """
    by_id = {utterance.id: utterance for utterance in utterances}
    members = {subset: [by_id[id_] for id_ in getattr(split, subset)] for subset in SUBSETS}
    samples = {u.id: contents.samples[u.digest] for u in utterances if u.digest in contents.samples}
    near: dict[str, set[str]] = defaultdict(set)
    for one, other, _ in contents.near:
        near[one].add(other)
        near[other].add(one)
    holders = defaultdict(list)
    for id_ in sorted(samples):
        holders[samples[id_]].append(id_)
    identical = {id_: [other for other in holders[digest] if other != id_] for id_, digest in samples.items()}
    alike = {
        id_: sorted(other for neighbour in near[digest] for other in holders[neighbour])
        for id_, digest in samples.items()
    }
    return [
        *_twins(split, identical, "identical audio", "an identical recording"),
        *_twins(split, alike, "near duplicates", "a near duplicate"),
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
    ]


def _take(utterance: Utterance) -> Hashable:
    return (*_act(utterance), utterance.statement)


def _act(utterance: Utterance) -> tuple[str, ...]:
    return (*_speaker(utterance), utterance.emotion, utterance.intensity)


def _speaker(utterance: Utterance) -> tuple[str, ...]:
    return utterance.corpus, utterance.speaker


def _statement(utterance: Utterance) -> Hashable:
    return utterance.corpus, utterance.statement


def _in_training(
    members: Mapping[str, Sequence[Utterance]],
    key: Callable[[Utterance], Hashable],
    name: str,
    severity: str,
    what: str,
) -> Finding:
    """Count the clips of validation and test with whom a training clip has the key in common."""
    taught: dict[Hashable, str] = {}
    for utterance in members["train"]:
        taught.setdefault(key(utterance), utterance.id)
    pairs = {
        subset: [(utterance.id, taught[key(utterance)]) for utterance in members[subset] if key(utterance) in taught]
        for subset in EVALUATED
    }
    return _count(name, severity, pairs, {subset: len(members[subset]) for subset in EVALUATED}, f"clips {what}")


def _twins(split: Split, others: Mapping[str, Sequence[str]], name: str, what: str) -> tuple[Finding, Finding]:
    """Count the clips that have a twin in another subset, and those that have one in their own."""
    subset_of = split.subset_of()
    across: dict[str, list[tuple[str, str]]] = {subset: [] for subset in EVALUATED}
    within: dict[str, list[tuple[str, str]]] = {subset: [] for subset in (*EVALUATED, "train")}
    for subset, own in within.items():
        for id_ in getattr(split, subset):
            inside = [other for other in others.get(id_, ()) if subset_of[other] == subset]
            outside = [other for other in others.get(id_, ()) if subset_of[other] not in (subset, UNUSED)]
            if inside:
                own.append((id_, inside[0]))
            if outside and subset in across:  # a training clip is told of by its twin
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
    told = {subset: count for subset, count in counts.items() if count[0]} or counts
    *most, last = (f"{count} of {total} {subset}" for subset, (count, total) in told.items())
    return Finding(
        name=name,
        severity=severity,
        found=any(count for count, _ in counts.values()),
        counts=counts,
        sentence=f"{', '.join(most)}{' and ' * bool(most)}{last} {what}",
        examples=tuple(pair for found in pairs.values() for pair in found)[:EXAMPLES],
    )


def audit_folder(kept: Mapping[str, str], left_out: Mapping[str, str]) -> Finding:
    """Count the files that are left out of a corpus and hold what another file of the folder holds.

    A program that takes every file of such a folder has its clips on both sides of any split.

    Args:
        kept: digest of the content of the files that are used, by path
        left_out: that of the others

    """
    holders = defaultdict(list)
    for path, content in (*sorted(kept.items()), *sorted(left_out.items())):
        holders[content].append(path)
    copies = [
        (path, next(other for other in holders[content] if other != path))
        for path, content in sorted(left_out.items())
        if len(holders[content]) > 1
    ]
    total = len(kept) + len(left_out)
    return Finding(
        name="copies in the corpus folder",
        severity=DEFECT,
        found=bool(copies),
        counts={"folder": (len(copies), total)},
        sentence=f"{len(copies)} of {total} audio files in the corpus folder are copies of another and left out",
        examples=tuple(copies[:EXAMPLES]),
    )


def audit_rows(rows: Mapping[str, Sequence[tuple[str, str]]], split: Split) -> Finding:
    """Count the rows of each subset, clips and altered copies, whose clip belongs to another subset.

    Args:
        rows: utterance id and name of the copy of every row, by the subset that has it
        split: where each clip belongs

    """
    subset_of = split.subset_of()
    pairs = {
        subset: [(f"{id_} {copy}".rstrip(), subset_of[id_]) for id_, copy in rows[subset] if subset_of[id_] != subset]
        for subset in (*EVALUATED, "train")
    }
    of = {subset: len(rows[subset]) for subset in pairs}
    return _count("augmented copies elsewhere", LEAK, pairs, of, "rows are, or were made of, a clip of another subset")


def audit_siblings(rows: Mapping[str, Sequence[tuple[str, str]]]) -> Finding:
    """Count the rows of validation and test of whose clip training has another row, itself or altered.

    Args:
        rows: utterance id and name of the copy of every row, by the subset that has it

    """
    taught: dict[str, str] = {}
    for id_, copy in rows["train"]:
        taught.setdefault(id_, f"{id_} {copy}".rstrip())
    pairs = {
        subset: [(f"{id_} {copy}".rstrip(), taught[id_]) for id_, copy in rows[subset] if id_ in taught]
        for subset in EVALUATED
    }
    of = {subset: len(rows[subset]) for subset in pairs}
    return _count("another copy in training", LEAK, pairs, of, "rows have another copy of their clip in training")


def audit_normaliser(
    held: tuple[npt.ArrayLike, npt.ArrayLike] | None, frames: Iterable[npt.NDArray[np.float32]]
) -> Finding:
    """Compare the statistics that a network standardises by with those of the training clips, computed anew.

    Args:
        held: mean and deviation of each feature, (F,) each, as the network has them; None if it does not standardise
        frames: (K, F) of each row that belongs to training

    """
    name = "normaliser fitted outside training"
    if held is None:
        sentence = "the network standardises nothing"
        return Finding(name=name, severity=LEAK, found=False, counts={}, sentence=sentence)
    mean, deviation = _statistics(frames)
    scale = np.where(deviation > 1e-8, deviation, 1.0)  # a feature that never varies is only centred
    # A thousandth of a deviation: rounding is far below it, a few clips more or less are above.
    same = np.allclose((np.asarray(held[0]) - mean) / scale, 0, atol=1e-3) and np.allclose(
        np.asarray(held[1]) / scale, 1, atol=1e-3
    )
    sentence = f"the network standardises by statistics {'' if same else 'other than those '}of the training rows"
    return Finding(name=name, severity=LEAK, found=not same, counts={}, sentence=sentence)


def audit_statistics(*, updated: bool) -> Finding:
    """Tell whether the network's running statistics take in the clips that are measured.

    Args:
        updated: they do, by the configuration

    """
    sentence = (
        f"the running statistics of BatchNorm {'take in' if updated else 'never see'} the clips that are measured"
    )
    return Finding(
        name="running statistics of evaluated clips", severity=LEAK, found=updated, counts={}, sentence=sentence
    )


def _statistics(
    frames: Iterable[npt.NDArray[np.float32]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and deviation over all frames, merged clip by clip (Chan et al. 1979)."""
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
    """Tell whether the test clips chose the weights that they are measured with.

    Args:
        monitors: what each callback watches, by its name; ``best`` is the one that keeps the best checkpoint
        checkpoint: whose metrics head the result, ``"best"`` or ``"last"``; the last is chosen by no figure

    """
    by_test = [
        (name, str(monitor))
        for name, monitor in sorted(monitors.items())
        if str(monitor).startswith("test") and not (name == "best" and checkpoint == "last")
    ]
    how = (
        "chosen on test, by " + ", ".join(f"{monitor} ({name})" for name, monitor in by_test)
        if by_test
        else "the last epoch, chosen by no figure"
        if checkpoint == "last"
        else f"chosen by {monitors['best']}"
        if "best" in monitors
        else "the only one, chosen by no figure"
    )
    return Finding(
        name="checkpoint chosen on test",
        severity=LEAK,
        found=bool(by_test),
        counts={},
        sentence=f"the checkpoint is {how}",
        examples=tuple(by_test),
    )
