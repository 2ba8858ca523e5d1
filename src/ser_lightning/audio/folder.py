"""Find the audio files that an input path names."""

import os
from pathlib import Path

from ser_lightning.audio_endings import FFMPEG, SNDFILE, UNREAD
from ser_lightning.errors import InputError, printable

SUFFIXES = (*SNDFILE, *FFMPEG)


def list_audio_files(path: str | Path) -> tuple[list[Path], list[str]]:
    """Return the given file, or the audio files below the given folder, sorted.

    Args:
        path: a file with any suffix, or a folder, which is searched for the suffixes in :data:`SUFFIXES` in upper or
            lower case; hidden files and folders are ignored

    Returns:
        The paths, without a check of their content; and one message for each folder or link that was not searched, and
        for each other file with sound or film by its ending, with the reason.

    Raises:
        InputError: the path does not exist, or the folder contains no audio file

    """
    path = Path(path)
    if not os.path.lexists(path):
        raise InputError(f"{printable(path)} does not exist; give an audio file or a folder of audio files")
    if not path.is_dir():
        return [path], []
    audio_files: list[Path] = []
    problems: list[str] = []

    def unreadable(error: OSError) -> None:
        problems.append(f"{printable(str(error.filename))} is a folder that cannot be read: {error.strerror}")

    for folder, subfolders, names in os.walk(path, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        audio_files += [p for name in subfolders if (p := Path(folder, name)).suffix.lower() in SUFFIXES]
        problems += [
            f"{printable(link)} is a link to a folder, which is not followed; give that folder itself"
            for name in subfolders
            if (link := Path(folder, name)).is_symlink() and link.suffix.lower() not in SUFFIXES
        ]
        files = [Path(folder, name) for name in names if name[0] != "."]
        audio_files += [file for file in files if file.suffix.lower() in SUFFIXES]
        problems += [
            f"{printable(file)} is sound or film by its ending and is not read; convert it to WAV or FLAC"
            for file in sorted(files)
            if file.suffix.lower() in UNREAD
        ]
    if not audio_files:
        reasons = "".join(f"; {problem}" for problem in problems[:3])
        raise InputError(
            f"the folder {printable(path)} contains no audio file (such as {', '.join(SUFFIXES[:6])}); give another"
            f" folder{reasons}"
        )
    return sorted(audio_files), problems
