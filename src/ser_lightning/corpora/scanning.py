"""Scan a folder of recordings and check it against the published corpus."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ser_lightning.corpora.copies import SUFFIXES, Clip, collapse_copies, one_id_per_content, one_per_id
from ser_lightning.corpora.utterance import Problem, ProblemsError, Scan, Utterance
from ser_lightning.errors import InputError, printable

ON_PROBLEM = ("refuse", "skip")
DOWNMIXES = ("mean", "interleave", "right")
UNSPECIFIED = "unspecified"
"""Intensity of a recording whose corpus does not label the intensity."""
POINTER = b"version https://git-lfs"  # start of the file that stands in for audio that git-lfs has not fetched


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """The annotation of a recording that its file name and its folders encode.

    Args:
        id: name of the recording in the corpus
        speaker: name of the speaker, unique in the corpus
        gender: gender of the speaker, ``"male"`` or ``"female"``
        emotion: a label of :mod:`ser_lightning.labels`
        intensity: intensity of the emotion, :data:`UNSPECIFIED` where the corpus does not give it
        statement: the spoken sentence
        repetition: the take, counted from 1

    """

    id: str
    speaker: str
    gender: str
    emotion: str
    intensity: str
    statement: str
    repetition: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """The recordings of a corpus as published and the grammar of its file names.

    Args:
        corpus: name of the corpus
        title: name of the corpus for messages
        ids: ids of all its recordings
        read: function that parses the path of a file relative to the root; it raises InputError, with the quoted stem
            before the reason, if the name is not of this corpus or contradicts its folders
        how_to_get_it: instructions for messages that the corpus is missing
        published: sets of ids that are one recording with one label in the corpus as published; they are kept
        unusable: published recordings to leave out: the reason of each by id
        copies: explanation of folders that duplicate the corpus

    """

    corpus: str
    title: str
    ids: Collection[str]
    read: Callable[[PurePath], Name]
    how_to_get_it: str
    published: Collection[frozenset[str]] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    copies: str = "some archives ship every clip twice"


def check_choices(*, on_problem: str, downmix: str) -> None:
    """Check the settings that all file-based corpora share.

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``

    """
    for key, value, allowed in (("on_problem", on_problem, ON_PROBLEM), ("downmix", downmix, DOWNMIXES)):
        if value not in allowed:
            *first, last = allowed
            raise InputError(f"corpus.{key}: expected {', '.join(first)} or {last}, got {value!r}")


def folder_of(root: str | Path | None) -> Path | None:
    """Return the root as a path; None if it is None or empty, as an empty environment variable is."""
    # A shell does not expand the ~ in corpus.root=~/x.
    return Path(os.path.expanduser(root)) if root else None  # noqa: PTH111 (keeps an unknown ~user)


def scan_folder(root: Path | None, design: Design, *, on_problem: str) -> Scan:
    """Scan the folder of a corpus and check it against its design.

    Args:
        root: folder of the corpus, in any layout; None raises an error
        design: the recordings it must contain
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them

    Raises:
        InputError: there is no corpus, no usable clip, or any problem when ``on_problem`` is ``"refuse"``

    """
    if root is None:
        raise InputError(f"corpus.root: expected the folder of {design.title}, got none; {design.how_to_get_it}")
    try:
        what = "" if root.is_dir() else "not a folder" if root.exists() else "no such folder"
    except OSError as error:
        what = f"cannot be looked into ({error.strerror})"
    if what:
        raise InputError(f"{printable(root)}: {what}; {design.how_to_get_it}")
    files, problems = find_audio(root)
    if not files and not problems:
        raise InputError(f"{printable(root)}: holds no .wav or .flac file; {design.how_to_get_it}")
    # A clip that is present but unusable is reported once, and not as missing as well.
    there = {_id(path, design) for path in [*files, *(PurePath(problem.path) for problem in problems)]}
    missing = set(design.ids) - there - design.unusable.keys()

    names: dict[str, Name] = {}
    clips, left_out = [], []
    for file in files:
        try:
            name = design.read(file)
            if name.id in design.unusable:
                left_out.append(Problem(path=printable(file), reason=design.unusable[name.id]))
            else:
                clips.append(Clip(id=name.id, path=file, digest=sha256(root / file)))
                names[name.id] = name
        except InputError as error:
            problems.append(Problem(path=printable(file), reason=str(error).removeprefix(f"{file.stem!r}: ")))
        except OSError as error:
            problems.append(Problem(path=printable(file), reason=f"unreadable file: {error.strerror}"))

    kept, copies = one_per_id(clips)
    problems += collapse_copies(copies, total=len(clips), note=design.copies)
    kept, mislabelled = one_id_per_content(kept, published=design.published)
    problems += mislabelled
    problems += [Problem(path=id_, reason="missing") for id_ in missing]
    utterances = [_utterance(root, clip, names[clip.id], corpus=design.corpus) for clip in kept]
    return settle(root, utterances, problems, left_out=left_out, on_problem=on_problem)


def _id(path: PurePath, design: Design) -> str:
    try:
        return design.read(path).id
    except InputError:
        return path.stem


def _utterance(root: Path, clip: Clip, name: Name, *, corpus: str) -> Utterance:
    return Utterance(
        id=clip.id,
        path=root / clip.path,
        corpus=corpus,
        speaker=name.speaker,
        gender=name.gender,
        emotion=name.emotion,
        intensity=name.intensity,
        statement=name.statement,
        repetition=name.repetition,
        digest=clip.digest,
    )


def find_audio(root: Path) -> tuple[list[PurePath], list[Problem]]:
    """Find the audio files below a folder, in any layout.

    Entries that only look like audio files are reported as problems. Hidden files and folders are ignored (macOS
    creates a ``._x.wav`` beside each ``x.wav``), and so are links to folders that are searched anyway.

    Args:
        root: an existing folder

    Returns:
        The paths of the regular, non-empty files relative to ``root``, sorted; and the problems.

    """
    files: list[PurePath] = []
    problems: list[Problem] = []
    home = root.resolve()

    def report(path: str | Path, reason: str) -> None:
        problems.append(Problem(path=printable(Path(path).relative_to(root)), reason=reason))

    def unreadable(error: OSError) -> None:
        report(error.filename, f"unreadable folder: {error.strerror}")

    for folder, subfolders, names in os.walk(root, onerror=unreadable):
        for name in [name for name in subfolders if not name.startswith(".")]:
            path = Path(folder, name)
            if path.suffix.lower() in SUFFIXES:
                report(path, "a folder with the name of an audio file")
            elif path.is_symlink() and not _is_visited(path.resolve(), home):
                report(path, f"link to a folder that is not searched: {printable(path.resolve())}")
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
        return f"a link out of the folder: to {printable(target)}"
    # Check the file type before opening: opening a FIFO would block until it has a writer.
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if not status.st_size:
        return "empty file"
    with suppress(OSError), target.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            return "a pointer of git-lfs, not the audio: git lfs pull fetches it"
    return None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settle(
    root: Path,
    utterances: Iterable[Utterance],
    problems: Iterable[Problem],
    *,
    left_out: Iterable[Problem],
    on_problem: str,
) -> Scan:
    """Return the result of a scan, or raise an error if its problems are not accepted.

    Args:
        root: folder of the corpus, for the message
        utterances: the usable recordings
        problems: one per unusable or missing recording; the text of a reason up to the first colon names its kind
        left_out: recordings that are unusable in the corpus as published; they are listed but raise no error
        on_problem: ``"refuse"`` or ``"skip"``

    Raises:
        ProblemsError: there are problems, and ``on_problem`` is ``"refuse"`` or no recording is usable

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
        raise ProblemsError(f"{printable(root)}: {count}: {_by_kind(faults)}; {remedy}", faults)
    noted = sorted(left_out, key=lambda problem: problem.path)
    return Scan(utterances=usable, problems=(*noted, *faults))


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
