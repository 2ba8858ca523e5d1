"""Detection of duplicate files in a corpus."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import printable

SUFFIXES = (".wav", ".flac")
"""Suffixes of audio files; of two formats of one clip, the first is preferred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A readable audio file of a corpus.

    Args:
        id: name of the recording in the corpus
        path: the file, relative to the root of the corpus
        digest: SHA-256 of the file, in hexadecimal

    """

    id: str
    path: PurePath
    digest: str


def one_per_id(clips: Iterable[Clip]) -> tuple[list[Clip], list[Problem]]:
    """Keep one file of each recording.

    WAV is preferred to FLAC, then the path with fewer folders, then the alphabetically first path. If two files of the
    same recording and format differ, none of its files is kept, because the correct one is unknown.

    Args:
        clips: the files found, in any order

    Returns:
        The files kept; and one problem for each file that is not.

    """
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.id].append(clip)
    kept, problems = [], []
    for group in groups.values():
        group.sort(key=lambda clip: (_format(clip), len(clip.path.parts), clip.path))
        first, *others = group
        if len({(_format(clip), clip.digest) for clip in group}) > len({_format(clip) for clip in group}):
            problems += [
                Problem(path=printable(clip.path), reason=f"same id, different content: {printable(other.path)}")
                for clip, other in zip(group, [*others, first], strict=True)
            ]
            continue
        kept.append(first)
        problems += [
            Problem(
                path=printable(clip.path),
                reason=f"duplicate of {printable(first.path)}"
                if clip.digest == first.digest
                else f"same clip in two formats: {printable(first.path)} is kept",
            )
            for clip in others
        ]
    return kept, problems


def _format(clip: Clip) -> int:
    return SUFFIXES.index(clip.path.suffix.lower())


def collapse_copies(problems: Sequence[Problem], *, total: int, note: str) -> list[Problem]:
    """Replace the problems of a folder that duplicates another one by a single problem.

    Args:
        problems: the problems from :func:`one_per_id`; returned unchanged unless there are at least two and all are
            copies under one folder
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


def one_id_per_content(
    clips: Iterable[Clip], *, published: Collection[frozenset[str]]
) -> tuple[list[Clip], list[Problem]]:
    """Drop recordings that are byte-identical to one with another id, because at least one of the names is wrong.

    Args:
        clips: one file per id
        published: sets of ids that are identical in the corpus as published; these are kept

    Returns:
        The files kept; and one problem for each file that is not.

    """
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.digest].append(clip)
    kept, problems = [], []
    for group in groups.values():
        if len(group) == 1 or frozenset(clip.id for clip in group) in published:
            kept += group
            continue
        problems += [
            Problem(path=printable(clip.path), reason=f"same content under another name: {printable(other.path)}")
            for clip, other in zip(group, [*group[1:], group[0]], strict=True)
        ]
    return kept, problems
