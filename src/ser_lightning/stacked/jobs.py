"""The runs that a stack is asked to train, and what is kept of each while it is trained."""

from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.refit import Trainings


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of a stack.

    Args:
        config: resolved config
        choices: chosen options of the config groups
        overrides: overrides of the command line

    """

    config: dict[str, Any]
    choices: dict[str, Any]
    overrides: list[str]


@dataclass(kw_only=True)
class ActiveJob:
    """A run that has not ended.

    Args:
        identity: digest, choices and overrides to store in the result
        guard: guard of the folder
        lock: the lock of the folder
        stages: what is left to train
        result: the result of the stage that was trained last

    """

    identity: dict[str, Any]
    guard: FolderGuard
    lock: ExitStack
    stages: Trainings
    result: Future[dict[str, Any]] | None = None
