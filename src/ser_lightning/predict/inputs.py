"""Find the recordings in files and folders."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_lightning.audio.folder import list_audio_files
from ser_lightning.errors import InputError
from ser_lightning.output import expand_user


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording to read.

    Args:
        path: path of the file, as given or found
        below: path relative to the given folder; for a file given directly, its name

    """

    path: Path
    below: Path


def find_recordings(inputs: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """Return the recordings of all inputs without duplicates, and a message for each folder that could not be searched.

    Args:
        inputs: audio files of any name, and folders; a leading ``~`` is expanded to the home folder

    Raises:
        InputError: an input does not exist, or a folder contains no audio file

    """
    recordings: dict[Path, Recording] = {}
    problems: dict[str, None] = {}
    for name in inputs:
        if not name or "\0" in name:
            raise InputError("an input is an empty name; give an audio file or a folder of audio files")
        source = Path(expand_user(name))
        try:
            paths, unread = list_audio_files(source)
        except InputError as error:
            hint = "; values of the configuration are given as --set key=value" if "=" in name else ""
            raise InputError(f"{error}{hint}") from error
        problems |= dict.fromkeys(unread)
        for path in paths:
            below = path.relative_to(source) if source.is_dir() else Path(path.name)
            # Only the parent folder is resolved: a link next to its target has its own name and counts separately.
            recordings.setdefault(Path(os.path.realpath(path.parent), path.name), Recording(path, below))
    return list(recordings.values()), list(problems)


def names_of_files(recordings: Sequence[Recording], ending: str) -> list[tuple[Path, Path]]:
    """Return the path of each recording with a unique relative path for a file that is made of it."""
    names = [recording.below for recording in recordings]
    if len(Counter(names)) < len(names):
        real = [Path(os.path.realpath(recording.path.parent), recording.path.name) for recording in recordings]
        common = Path(os.path.commonpath([path.parent for path in real]))
        names = [path.relative_to(common) for path in real]
    # The original suffix is kept, because a folder may hold both a.wav and a.flac.
    return [(each.path, name.with_name(f"{name.name}{ending}")) for each, name in zip(recordings, names, strict=True)]


def valid_text(path: Path) -> str:
    """Return a path as valid text: file names need not be valid UTF-8, and invalid bytes become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()
