"""Train/test leakage checks of a split and of a corpus folder."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.splits.findings import (
    CORPUS_ERROR,
    EVALUATED,
    EXAMPLES,
    LEAK,
    SHARED,
    UNCHECKED,
    Finding,
    count_pairs,
)
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.split import SUBSETS, UNUSED, Split


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
    for first, second, _ in contents.near:
        similar_to[first].add(second)
        similar_to[second].add(first)
    ids_of = defaultdict(list)
    for id_ in sorted(samples):
        ids_of[samples[id_]].append(id_)
    identical = {id_: [twin for twin in ids_of[digest] if twin != id_] for id_, digest in samples.items()}
    similar = {
        id_: sorted(twin for neighbor in similar_to[digest] for twin in ids_of[neighbor])
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
    return count_pairs(name, severity, pairs, {subset: len(members[subset]) for subset in EVALUATED}, f"clips {what}")


def _duplicates(split: Split, others: Mapping[str, Sequence[str]], name: str, what: str) -> tuple[Finding, Finding]:
    """Count the clips with a duplicate in another subset, and those with a duplicate in their own subset."""
    subset_of = split.subset_of()
    across: dict[str, list[tuple[str, str]]] = {subset: [] for subset in EVALUATED}
    within: dict[str, list[tuple[str, str]]] = {subset: [] for subset in (*EVALUATED, "train")}
    for subset, same_subset in within.items():
        for id_ in getattr(split, subset):
            inside = [other for other in others.get(id_, ()) if subset_of[other] == subset]
            outside = [other for other in others.get(id_, ()) if subset_of[other] not in (subset, UNUSED)]
            if inside:
                same_subset.append((id_, inside[0]))
            if outside and subset in across:  # a training clip is reported by its duplicate
                across[subset].append((id_, outside[0]))
    totals = {subset: len(getattr(split, subset)) for subset in within}
    return (
        count_pairs(f"{name} across subsets", LEAK, across, totals, f"clips have {what} in another subset"),
        count_pairs(f"{name} within a subset", SHARED, within, totals, f"clips have {what} in their own subset"),
    )


def audit_folder(used: Mapping[str, str], left_out: Mapping[str, str]) -> Finding:
    """Count the unused files of a corpus folder that duplicate another file of the folder.

    A program that uses every file of such a folder can have the same clip on both sides of any split.

    Args:
        used: digest of the content of each used file, by path
        left_out: digest of the content of each unused file, by path

    """
    paths_of = defaultdict(list)
    for path, content in (*sorted(used.items()), *sorted(left_out.items())):
        paths_of[content].append(path)
    copies = [
        (path, next(other for other in paths_of[content] if other != path))
        for path, content in sorted(left_out.items())
        if len(paths_of[content]) > 1
    ]
    total = len(used) + len(left_out)
    return Finding(
        name="copies in the corpus folder",
        severity=CORPUS_ERROR,
        found=bool(copies),
        counts={"folder": (len(copies), total)},
        sentence=f"{len(copies)} of {total} audio files in the corpus folder are copies of another and left out",
        examples=tuple(copies[:EXAMPLES]),
    )
