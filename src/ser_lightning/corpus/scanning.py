"""Looking through a folder of recordings, whatever the corpus."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ser_lightning.corpus.utterance import Problem, ProblemsError, Scan, Utterance
from ser_lightning.errors import shown

SUFFIXES = (".wav", ".flac")
"""What counts as audio, in the order of preference between two formats of one clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """An audio file that can be read.

    Args:
        id: what the corpus calls the recording
        path: the file, relative to the root of the corpus
        digest: SHA-256 of its bytes, in hexadecimal

    """

    id: str
    path: PurePath
    digest: str


def find_audio(root: Path) -> tuple[list[PurePath], list[Problem]]:
    """Find the audio files below a folder, in any layout, and what only looks like one.

    Hidden files and folders are passed over (macOS leaves a ``._x.wav`` beside each ``x.wav``), and so are
    links to folders that are visited anyway.

    Args:
        root: an existing folder

    Returns:
        the paths relative to ``root`` of the regular, non-empty files, sorted; and the problems

    """
    files: list[PurePath] = []
    problems: list[Problem] = []
    home = root.resolve()

    def report(path: str | Path, reason: str) -> None:
        problems.append(Problem(path=shown(Path(path).relative_to(root)), reason=reason))

    def unreadable(error: OSError) -> None:
        report(error.filename, f"unreadable folder: {error.strerror}")

    for folder, subfolders, names in os.walk(root, onerror=unreadable):
        for name in [name for name in subfolders if not name.startswith(".")]:
            path = Path(folder, name)
            if path.suffix.lower() in SUFFIXES:
                report(path, "a folder with the name of an audio file")
            elif path.is_symlink() and not _is_visited(path.resolve(), home):
                report(path, f"link to a folder that is not searched: {shown(path.resolve())}")
        subfolders[:] = [n for n in subfolders if not n.startswith(".") and Path(n).suffix.lower() not in SUFFIXES]
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if reason := _fault(path, home):
                report(path, reason)
            else:
                files.append(path.relative_to(root))
    return sorted(files), problems


def _is_visited(target: Path, home: Path) -> bool:
    return target.is_relative_to(home) and not any(part.startswith(".") for part in target.relative_to(home).parts)


def _fault(path: Path, home: Path) -> str | None:
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError):  # Python 3.12 and older raise RuntimeError for a link to itself
        return "a link to nothing" if path.is_symlink() else "unreadable file"
    if not target.is_relative_to(home):
        return f"a link out of the folder: to {shown(target)}"
    # Asked before any open(): opening a FIFO would wait for its writer for ever.
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return None if status.st_size else "empty file"


def sha256(path: Path) -> str:
    """Hash the bytes of a file; in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_per_id(clips: Iterable[Clip]) -> tuple[list[Clip], list[Problem]]:
    """Keep one file of each recording.

    WAV is preferred to FLAC, then the path with fewer folders, then the first in the alphabet. When two files
    of one format differ, none is kept: which of them is right cannot be known.

    Args:
        clips: the files found, in any order

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
                Problem(path=shown(clip.path), reason=f"same id, different content: {shown(other.path)}")
                for clip, other in zip(group, [*others, first], strict=True)
            ]
            continue
        kept.append(first)
        problems += [
            Problem(
                path=shown(clip.path),
                reason=f"duplicate of {shown(first.path)}"
                if clip.digest == first.digest
                else f"same clip in two formats: {shown(first.path)} is kept",
            )
            for clip in others
        ]
    return kept, problems


def _format(clip: Clip) -> int:
    return SUFFIXES.index(clip.path.suffix.lower())


def collapse_copies(problems: Sequence[Problem], *, total: int, note: str) -> list[Problem]:
    """Say in one line that a whole folder repeats another one.

    Args:
        problems: what :func:`one_per_id` found; returned as it is unless all are copies in one folder
        total: number of files among which the copies are
        note: what is known of such copies in this corpus

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
    """Drop the recordings that have the bytes of a recording of another name: one of the labels is wrong.

    Args:
        clips: one file per id
        published: sets of ids that are identical in the corpus as it was published; these are kept

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
            Problem(path=shown(clip.path), reason=f"same content under another name: {shown(other.path)}")
            for clip, other in zip(group, [*group[1:], group[0]], strict=True)
        ]
    return kept, problems


def settle(root: Path, utterances: Iterable[Utterance], problems: Iterable[Problem], *, on_problem: str) -> Scan:
    """Turn what was found into a scan, or refuse it.

    Args:
        root: the folder, for the message
        utterances: the usable recordings
        problems: all the others; the kind of each is its reason up to the first colon
        on_problem: ``"refuse"`` or ``"skip"``

    Raises:
        ProblemsError: there is a problem and ``on_problem`` is ``"refuse"``, or there is no usable recording

    """
    usable = tuple(sorted(utterances, key=lambda utterance: utterance.id))
    faults = tuple(sorted(problems, key=lambda problem: (problem.reason == "missing", problem.path)))
    if faults and (on_problem == "refuse" or not usable):
        remedy = (
            "mend the folder, or set corpus.on_problem=skip to go on without them (the run lists them)"
            if usable
            else "no usable recording remains; is this the right corpus.root?"
        )
        count = f"{len(faults)} problem{'s' * (len(faults) > 1)}"
        raise ProblemsError(f"{shown(root)}: {count}: {_by_kind(faults)}; {remedy}", faults)
    return Scan(utterances=usable, problems=faults)


def _by_kind(problems: Iterable[Problem]) -> str:
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        copy = problem.reason.startswith("duplicate of ")
        kinds["duplicate" if copy else problem.reason.partition(": ")[0]].append(problem)
    return "; ".join(
        f"{group[0].path}: {group[0].reason}"
        if len(group) == 1
        else f"{len(group)} x {kind} ({', '.join(p.path for p in group[:3])}{', ...' * (len(group) > 3)})"
        for kind, group in kinds.items()
    )
