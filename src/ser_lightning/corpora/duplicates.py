"""Duplicate files in a corpus folder."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePath

from ser_lightning.corpora.audio_files import SUFFIXES
from ser_lightning.corpora.utterance import Problem, Utterance
from ser_lightning.errors import printable


def drop_replaced(
    utterances: Sequence[Utterance], *, root: Path, corrected: str | None
) -> tuple[list[Utterance], list[Problem]]:
    """Leave out the files that a corrected file of the same recording replaces.

    Args:
        utterances: one utterance per file found
        root: folder of the corpus
        corrected: regular expression of the names of corrected files, without suffix; None if there are none

    Returns:
        The utterances kept; and one problem for each file that is not.

    """
    if corrected is None:
        return list(utterances), []
    matches = {utterance.path: bool(re.fullmatch(corrected, utterance.path.stem)) for utterance in utterances}
    replacement = {utterance.id: utterance.path for utterance in utterances if matches[utterance.path]}
    kept, problems = [], []
    for utterance in utterances:
        if matches[utterance.path] or utterance.id not in replacement:
            kept.append(utterance)
            continue
        name = printable(replacement[utterance.id].relative_to(root))
        problems.append(Problem(path=printable(utterance.path.relative_to(root)), reason=f"replaced by {name}"))
    return kept, problems


def keep_one_per_id(utterances: Iterable[Utterance], *, root: Path) -> tuple[list[Utterance], list[Problem]]:
    """Keep one file of each recording.

    WAV is preferred to FLAC, then the path with fewer folders, then the alphabetically first path. If two files of the
    same recording and format differ, none of its files is kept, because the correct one is unknown.

    Args:
        utterances: one utterance per file found, in any order
        root: folder of the corpus

    Returns:
        The utterances kept; and one problem for each file that is not.

    """
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.id].append(utterance)
    kept, problems = [], []
    for group in groups.values():
        group.sort(key=lambda utterance: (_format(utterance), len(utterance.path.parts), utterance.path))
        first, *others = group
        if len({(_format(each), each.digest) for each in group}) > len({_format(each) for each in group}):
            problems += _pairwise("same id, different content", group, root)
            continue
        kept.append(first)
        for other in others:
            name = printable(first.path.relative_to(root))
            same = other.digest == first.digest
            reason = f"duplicate of {name}" if same else f"same recording in two formats: {name} is kept"
            problems.append(Problem(path=printable(other.path.relative_to(root)), reason=reason))
    return kept, problems


def _format(utterance: Utterance) -> int:
    return SUFFIXES.index(utterance.path.suffix.lower())


def _pairwise(reason: str, group: Sequence[Utterance], root: Path) -> list[Problem]:
    """Return one problem per utterance that names the next one of the group."""
    names = [printable(utterance.path.relative_to(root)) for utterance in group]
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    return [Problem(path=name, reason=f"{reason}: {other}") for name, other in pairs]


def summarize_copied_folder(problems: Sequence[Problem], *, total: int, note: str) -> list[Problem]:
    """Replace the problems of a folder that duplicates another one by a single problem.

    Args:
        problems: the problems from :func:`keep_one_per_id`; returned unchanged unless there are at least two and all
            are copies under one folder
        total: number of files in the corpus, including the copies
        note: explanation of such copies in this corpus

    """
    if len(problems) < 2 or not all(problem.reason.startswith("duplicate of") for problem in problems):
        return list(problems)
    folder = os.path.commonpath([PurePath(problem.path).parent for problem in problems])
    if folder in ("", "."):
        return list(problems)
    reason = f"{len(problems)} of {total} files are byte-identical copies under {folder} ({note})"
    return [Problem(path=folder, reason=reason)]


def drop_mislabeled(
    utterances: Iterable[Utterance], *, root: Path, same_recording: Collection[frozenset[str]]
) -> tuple[list[Utterance], list[Problem]]:
    """Drop recordings that are byte-identical to one with another id, because at least one of the names is wrong.

    Args:
        utterances: one utterance per id
        root: folder of the corpus
        same_recording: sets of ids that are identical in the corpus as published; these are kept

    Returns:
        The utterances kept; and one problem for each file that is not.

    """
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.digest].append(utterance)
    kept, problems = [], []
    for group in groups.values():
        if len(group) == 1 or frozenset(utterance.id for utterance in group) in same_recording:
            kept += group
        else:
            problems += _pairwise("same content under another name", group, root)
    return kept, problems
