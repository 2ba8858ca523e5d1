"""Write files atomically, so that they are either complete or absent."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".tmp"
LONGEST = 200  # bytes; a longer name leaves too little of the usual limit of 255 for the temporary suffix


@contextmanager
def write_atomically(path: str | Path, mode: str = "w", *, keep: str | Path | None = None) -> Iterator[IO[Any]]:
    """Open a temporary file next to ``path`` and, on a clean exit, sync it, rename it to ``path`` and sync the folder.

    A reader sees either the old or the new file, even after a power failure. If the block raises, the temporary file is
    removed and ``path`` is unchanged. A killed process leaves a temporary file behind, which :func:`remove_leftovers`
    removes.

    Args:
        path: the file to write; parent folders are created. If it is a symbolic link, the target of the link is written
        mode: ``"w"`` (UTF-8 text without newline translation) or ``"wb"``
        keep: name in the same folder under which an existing file at ``path`` is kept

    """
    path = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    prefix = f".{path.name}." if len(os.fsencode(path.name)) <= LONGEST else "."
    temporary = path.with_name(f"{prefix}{secrets.token_hex(8)}{TEMPORARY}")
    # Unlike mkstemp, which creates files with mode 0600, this applies the umask of the process.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            _link_as(path, Path(keep))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _link_as(path: Path, name: Path) -> None:
    """Give a file a second name, replacing any file of that name."""
    link = name.with_name(f".{name.name}{TEMPORARY}")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
    except OSError:  # the file system has no hard links: the file is briefly available under the second name only
        path.replace(name)
    else:
        link.replace(name)
        link.unlink(missing_ok=True)  # if both names already were one file, replace does nothing


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of killed processes from a folder and its subfolders."""
    for path in Path(folder).rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def remove_empty_folders(folder: Path, *, below: Path) -> None:
    """Remove a folder and its parents as long as they are empty and below another folder."""
    while folder != below and below in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass  # already removed
        except OSError:  # not empty, or another process was faster
            return
        folder = folder.parent


def sync(path: str | Path) -> None:
    """Flush a file, or the entries of a folder, to disk so that they survive a power failure."""
    if os.name != "posix":  # other systems cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
