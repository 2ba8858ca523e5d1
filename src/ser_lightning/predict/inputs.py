"""Find the recordings in files and folders."""

import os
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
