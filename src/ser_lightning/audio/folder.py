"""Which sound files an input names."""

from pathlib import Path

from ser_lightning.errors import InputError

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".mp3", ".ogg", ".au")


def find_audio(path: str | Path) -> list[Path]:
    """Return the file given, or the sound files below the folder given, sorted.

    Args:
        path: a file of any name, or a folder, searched for the usual suffixes in upper or lower case

    Raises:
        InputError: there is nothing at the path, or no sound file in the folder

    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no {path}; give a sound file or a folder of sound files")
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise InputError(f"the folder {path} holds no sound file ({', '.join(SUFFIXES)}); give one that does")
    return found
