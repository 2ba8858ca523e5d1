"""Every epoch in TensorBoard and in a line of the run's log, once."""

import logging
import re
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from ser_lightning.atomic import write_atomically
from ser_lightning.callbacks.tensorboard import write_scalars
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)
_EPOCH = re.compile(r"^\S+ \S+ DEBUG epoch (\d+) ")
_TAIL = 2000  # bytes of a log that hold its last epoch


class Record(pl.callbacks.Checkpoint):  # of this kind, to be called once the checkpoints of an epoch are written
    """Record the figures of each epoch; those in the log do not go to the terminal.

    What a resumed run did before comes from its history: TensorBoard's files are written anew, with the times they
    had, and the log gets the lines it lacks. So nothing is there twice and nothing is missing, wherever the run was
    stopped.

    Args:
        log_file: the run's log

    """

    def __init__(self, *, log_file: Path) -> None:
        self.log_file = log_file

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record what was done before."""
        task = cast(EmotionTask, pl_module)
        logged = logged_epochs(self.log_file)
        for epoch in range(len(task.epochs)):
            self._write(trainer, task, epoch)
            if epoch not in logged:
                self._log(task, epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch that is over."""
        task = cast(EmotionTask, pl_module)
        self._write(trainer, task, trainer.current_epoch)
        self._log(task, trainer.current_epoch)

    @staticmethod
    def _write(trainer: pl.Trainer, task: EmotionTask, epoch: int) -> None:
        of = task.epochs[epoch]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                write_scalars(logger, of["values"] | {"epoch": epoch}, step=of["step"], time=of["ended"])

    @staticmethod
    def _log(task: EmotionTask, epoch: int) -> None:
        values = {name: value for name, value in task.epochs[epoch]["values"].items() if name.startswith("val/")}
        log.debug("epoch %d %s", epoch, " ".join(f"{k}={v:.4f}" for k, v in values.items()))


def logged_epochs(log_file: Path) -> set[int]:
    """Return the epochs that have a line in a log."""
    if not log_file.exists():
        return set()
    lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return {int(match[1]) for match in map(_EPOCH.match, lines) if match}


def last_epoch(log_file: Path) -> tuple[int, dict[str, float]] | None:
    """Return the last epoch of a log and what it says of it; None before the first."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if match := _EPOCH.match(line):
            pairs = (word.partition("=") for word in line[match.end() :].split())
            return int(match[1]), {name: float(value) for name, _, value in pairs}
    return None


def forget_epochs(log_file: Path, *, done: int) -> None:
    """Take the lines of epochs that will be trained again out of a log, and a line that was never finished.

    Args:
        log_file: the run's log
        done: epochs that stay

    """
    if not log_file.exists():
        return
    text = log_file.read_text(encoding="utf-8", errors="replace")
    lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
    kept = [line for line in lines if not ((match := _EPOCH.match(line)) and int(match[1]) >= done)]
    if "".join(kept) == text:
        return
    for handler in logging.getLogger().handlers:  # one that has the file open would go on in the old one
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == log_file.absolute():
            handler.close()  # opens it again for the next line
    with write_atomically(log_file) as file:
        file.writelines(kept)
