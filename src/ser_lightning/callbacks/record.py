"""Restore the logged metrics of a resumed run in its loggers and its log file, without duplicates."""

import logging
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from ser_lightning.atomic import write_atomically
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)
ROWS = "logged"  # key in a checkpoint


class LoggedRows(Logger):
    """A logger that keeps all rows in memory, so that a resumed run can write them to the other loggers again."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[dict[str, float], int | None]] = []

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "rows"

    @property
    def version(self) -> str:
        """Version of the logger."""
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Store a row."""
        self.rows.append(({name: v if isinstance(v, int) else float(v) for name, v in metrics.items()}, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Ignore hyperparameters; the checkpoint contains the complete config."""


class Record(pl.callbacks.Checkpoint):  # a Checkpoint, so that it is called after the checkpoints of an epoch
    """Write each epoch to the run's log file, and preserve logged rows across a resume.

    When a run is resumed, the files of the loggers are started again, and the rows stored in the checkpoint are written
    to them first. No row is missing or duplicated, wherever the run was interrupted.

    Args:
        log_file: log file of the run
        rows: logger that stores the rows
        epoch_name: name of an epoch in the log file

    """

    def __init__(self, *, log_file: Path, rows: LoggedRows, epoch_name: str) -> None:
        self.log_file, self.rows, self.epoch_name = log_file, rows, epoch_name

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the logged rows, including those of the epoch's end, which Lightning logs after saving."""
        task = cast(EmotionTask, pl_module)
        rows = list(self.rows.rows)
        # At this point Lightning has counted the epoch as processed but not logged it yet.
        if task.history.epochs and len(task.history.epochs) == trainer.current_epoch + 1:
            last = task.history.epochs[-1]
            # Lightning stores logged values in single precision.
            values = {n: float(np.float32(v)) for n, v in last["values"].items() if n.startswith("train/")}
            rows.append((values | {"epoch": trainer.current_epoch}, last["step"]))
        checkpoint[ROWS] = [[metrics, step] for metrics, step in rows]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the logged rows."""
        self.rows.rows = [(dict(metrics), step) for metrics, step in checkpoint[ROWS]]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the restored rows to the other loggers, and missing epochs to the log file."""
        task = cast(EmotionTask, pl_module)
        for metrics, step in self.rows.rows:
            for logger in trainer.loggers:
                if logger is not self.rows:
                    logger.log_metrics(dict(metrics), step)
        logged = logged_epochs(self.log_file, name=self.epoch_name)
        for epoch in range(len(task.history.epochs)):
            if epoch not in logged:
                self._log(task, epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch to the log file."""
        self._log(cast(EmotionTask, pl_module), -1)

    def _log(self, task: EmotionTask, epoch: int) -> None:
        log_epoch(task, epoch % len(task.history.epochs), name=self.epoch_name)


def log_epoch(task: EmotionTask, epoch: int, *, name: str) -> None:
    """Write an epoch to the log.

    Args:
        task: the task with its history
        epoch: index of the epoch
        name: name of an epoch in the log file

    """
    logged = task.history.epochs[epoch]["values"]
    # A refit has no validation.
    values = {name: value for name, value in logged.items() if name.startswith("val/")} or logged
    log.debug("%s %d %s", name, epoch, " ".join(f"{k}={v:.4f}" for k, v in values.items()))


def _line_of_epoch(name: str) -> re.Pattern[str]:
    return re.compile(rf"^\S+ \S+ DEBUG {name} (\d+) ")


def logged_epochs(log_file: Path, *, name: str) -> set[int]:
    """Return the epochs that have a line in a log file, in which an epoch has the given name."""
    if not log_file.exists():
        return set()
    lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return {int(match[1]) for match in map(_line_of_epoch(name).match, lines) if match}


def forget_epochs(log_file: Path, *, name: str, done: int) -> None:
    """Remove the lines of epochs that will be trained again, and an incomplete last line, from a log file.

    Args:
        log_file: log file of the run
        name: name of an epoch in the log file
        done: number of epochs to keep

    """
    if not log_file.exists():
        return
    text = log_file.read_text(encoding="utf-8", errors="replace")
    lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
    remaining = [line for line in lines if not ((match := _line_of_epoch(name).match(line)) and int(match[1]) >= done)]
    if "".join(remaining) == text:
        return
    for handler in logging.getLogger().handlers:  # a handler with the file open would keep writing to the old file
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == log_file.absolute():
            handler.close()  # reopens the file for the next line
    with write_atomically(log_file) as file:
        file.writelines(remaining)
