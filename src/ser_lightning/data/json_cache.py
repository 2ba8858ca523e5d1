"""Measurements of recordings, cached as JSON files beside the feature cache."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ser_lightning.atomic import write_atomically

T = TypeVar("T")


def cache_file(folder: Path, kind: str, key: object) -> Path:
    """Return the path of the cache file of some measurements; ``key`` holds all that they depend on."""
    return folder / f"{kind}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"


def read_cached(path: Path, parse: Callable[[Any], T]) -> T | None:
    """Return the parsed content of a cache file; None if it is missing or damaged."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_cached(path: Path, content: object) -> None:
    """Write a cache file; it only saves time, so that a full or read-only disk is no error."""
    with suppress(OSError), write_atomically(path) as file:
        json.dump(content, file)
