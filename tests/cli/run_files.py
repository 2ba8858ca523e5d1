"""Helpers for tests of commands: read what a run has written, and wait until something has happened."""

import json
import time
from collections.abc import Callable
from pathlib import Path


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def wait_for(happened: Callable[[], object], *, patience: float = 300) -> None:
    until = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)
