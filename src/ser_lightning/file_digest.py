"""SHA-256 digests of files and of the folders of pretrained models."""

import hashlib
from functools import cache
from pathlib import Path

MODEL_FILES = ("*.json", "*.safetensors", "*.bin")


def file_digest(path: Path) -> str:
    """Return the digest of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_digest(folder: Path) -> str:
    """Return a digest of the weights and the configuration of a model that transformers saved.

    It covers the names and contents of the files directly in the folder.
    """
    paths = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    return _digest(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@cache  # weights of gigabytes take seconds to read
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    content = hashlib.sha256()
    for path, *_ in files:
        content.update(f"{path.name} {file_digest(path)}\n".encode())
    return content.hexdigest()
