"""The recordings that a command line names."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_lightning.audio.folder import find_audio
from ser_lightning.errors import InputError
from ser_lightning.output import expand_user


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to be read.

    Args:
        path: of the file, as it was given or found
        below: the same below the folder that was given; of a file that was given, its name

    """

    path: Path
    below: Path


def find_recordings(inputs: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """Return the recordings that some inputs name, each once, and what could not be searched, with the reason.

    Args:
        inputs: sound files of any name, and folders; a leading ``~`` is the home folder

    Raises:
        InputError: there is nothing at one of them, or no sound file in a folder

    """
    recordings: dict[Path, Recording] = {}
    problems: dict[str, None] = {}
    for name in inputs:
        if not name or "\0" in name:
            raise InputError("an input is an empty name; give a sound file or a folder of sound files")
        source = Path(expand_user(name))
        try:
            paths, unread = find_audio(source)
        except InputError as error:
            hint = "; values of the configuration are given as --set key=value" if "=" in name else ""
            raise InputError(f"{error}{hint}") from error
        problems |= dict.fromkeys(unread)
        for path in paths:
            below = path.relative_to(source) if source.is_dir() else Path(path.name)
            # A link beside the file that it leads to is a recording of its own: it has a name of its own.
            recordings.setdefault(Path(os.path.realpath(path.parent), path.name), Recording(path, below))
    return list(recordings.values()), list(problems)


def report_failures(command: str, failures: Sequence[str], *, total: int) -> int:
    """List the files that were left out; return the exit code: 0 none, 3 some, 1 all."""
    for failure in failures:
        print(f"{command}: left out: {failure}", file=sys.stderr)
    if not failures:
        return 0
    return 1 if len(failures) == total else 3
