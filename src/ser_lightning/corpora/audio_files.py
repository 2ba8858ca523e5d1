"""List and hash the audio files of a corpus folder."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path, PurePath

from ser_lightning.audio_endings import FFMPEG, SNDFILE, UNREAD
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, printable

SUFFIXES = (".wav", ".flac")
"""Suffixes of audio files; of two formats of one recording, the first is preferred."""

ALL_SUFFIXES = (*SNDFILE, *FFMPEG)
"""Suffixes of the formats that libsndfile or FFmpeg decodes, for folders that are not of a published corpus."""

LFS_POINTER = b"version https://git-lfs"  # start of the file that stands in for audio that git-lfs has not fetched
LFS_POINTER_SIZE = 1024  # bytes; a pointer is shorter, so larger files need not be opened
LINK_REMEDY = "set corpus.follow_links=true, or copy the corpus with cp -rL"


def expand_path(path: str | Path | None) -> Path | None:
    """Return a path from the config; None if it is None or empty, as an empty environment variable is."""
    # A shell does not expand the ~ in corpus.root=~/x.
    return Path(os.path.expanduser(path)) if path else None  # noqa: PTH111 (keeps an unknown ~user)


def existing_folder(root: Path | None, *, title: str, remedy: str) -> Path:
    """Return the root of a corpus.

    Args:
        root: the folder
        title: what it is the folder of, for the message
        remedy: what to do, for the message

    Raises:
        InputError: it is None or no folder

    """
    if root is None:
        raise InputError(f"corpus.root: expected the folder of {title}, got none; {remedy}")
    try:
        fault = "" if root.is_dir() else "not a folder" if root.exists() else "no such folder"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    if fault:
        raise InputError(f"{printable(root)}: {fault}; {remedy}")
    return root


def list_corpus_files(
    root: Path, *, follow_links: bool, suffixes: tuple[str, ...] = SUFFIXES
) -> tuple[list[PurePath], list[Problem]]:
    """List the audio files below a folder, in any layout.

    Entries that only look like audio files are reported as problems. Hidden files and folders are ignored (macOS
    creates a ``._x.wav`` beside each ``x.wav``), and so are links to folders that are searched anyway.

    Args:
        root: an existing folder
        follow_links: whether links that lead out of the folder are followed; otherwise they are problems
        suffixes: suffixes of audio files, in lower case

    Returns:
        The paths of the regular, non-empty files relative to ``root``, sorted; and the problems.

    """
    files: list[PurePath] = []
    problems: list[Problem] = []
    home = root.resolve()
    visited = {home}

    def report(path: str | Path, reason: str) -> None:
        problems.append(Problem(path=printable(Path(path).relative_to(root)), reason=reason))

    def unreadable(error: OSError) -> None:
        report(error.filename, f"unreadable folder: {error.strerror}")

    def enters(path: Path) -> bool:
        """Return whether a subfolder is to be searched; report one that should be and cannot."""
        if path.name.startswith("."):
            return False
        if path.suffix.lower() in suffixes:
            report(path, "a folder with the name of an audio file")
            return False
        if not path.is_symlink():
            return True
        target = path.resolve()
        if _is_searched(target, home):
            return False
        if follow_links and target not in visited:
            visited.add(target)  # links may form a cycle
            return True
        if not follow_links:
            report(path, f"link to a folder that is not searched: {printable(target)}; {LINK_REMEDY}")
        return False

    for folder, subfolders, names in os.walk(root, onerror=unreadable, followlinks=True):
        subfolders[:] = [name for name in subfolders if enters(Path(folder, name))]
        for name in names:
            path = Path(folder, name)
            if suffixes is ALL_SUFFIXES and path.suffix.lower() in UNREAD and not name.startswith("."):
                report(path, "sound or film by its ending, which is not read; convert it to WAV or FLAC")
            if name.startswith(".") or path.suffix.lower() not in suffixes:
                continue
            if reason := find_fault(path, home=None if follow_links else home):
                report(path, reason)
            else:
                files.append(path.relative_to(root))
    return sorted(files), problems


def _is_searched(target: Path, home: Path) -> bool:
    return target.is_relative_to(home) and not any(part.startswith(".") for part in target.relative_to(home).parts)


def find_fault(path: Path, *, home: Path | None) -> str | None:  # noqa: PLR0911 - one return per fault
    """Return why a file cannot be used without decoding it, or None.

    Args:
        path: the file
        home: folder that links must not leave; None allows all links

    """
    try:
        status = path.stat()
        target = path if home is None else Path(os.path.realpath(path))  # faster than Path.resolve
    except (OSError, RuntimeError) as error:  # Python 3.12 and older raise RuntimeError for a link to itself
        if path.is_symlink():
            return "a link to nothing"
        return "no such file" if isinstance(error, FileNotFoundError) else "unreadable file"
    if home is not None and not target.is_relative_to(home):
        return f"a link out of the folder: to {printable(target)}; {LINK_REMEDY}"
    # Check the file type before opening: opening a FIFO would block until it has a writer.
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if not status.st_size:
        return "empty file"
    if status.st_size < LFS_POINTER_SIZE:
        with suppress(OSError), target.open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                return "a pointer of git-lfs, not the audio: git lfs pull fetches it"
    return None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
