"""Print the progress of a run and the time that is left."""

import time
from collections.abc import Mapping
from typing import cast

import pytorch_lightning as pl

from ser_lightning.task import EmotionTask

INTERVAL = 10.0  # seconds between two lines, at least
MEASURED = 2  # epochs after which the time is known; the first one also warms up


class EpochLines(pl.callbacks.Checkpoint):  # a Checkpoint, so that it is called when the epoch's values are logged
    """Print an epoch as a line on standard output every so often, or in a terminal only how long the run takes.

    Args:
        run: name of the run, before each line
        epoch_name: name of an epoch
        terminal: whether a progress bar shows the epochs, so that only the time is printed, once

    """

    def __init__(self, *, run: str, epoch_name: str, terminal: bool) -> None:
        self.run, self.epoch_name, self.terminal = run, epoch_name, terminal
        self.started, self.printed, self.done = 0.0, 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started, self.done = time.monotonic(), 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch, if it is the second of this process or the last one, or if the last line is old."""
        self.done += 1
        now, epoch, epochs = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs or 0
        last = epoch == epochs
        if self.terminal:
            due = self.done == MEASURED and not last
        else:
            due = self.done == MEASURED or last or now - self.printed >= INTERVAL
        if due and trainer.is_global_zero:
            self.printed = now
            left = "" if last else f"; about {duration_text((now - self.started) / self.done * (epochs - epoch))} left"
            values = _format(cast(EmotionTask, pl_module).history.epochs[-1]["values"])
            print(f"{self.run}: {self.epoch_name} {epoch} of {epochs}{values}{left}", flush=True)


def _format(values: Mapping[str, float]) -> str:
    """Format the training loss and the validation UAR of an epoch, if they were logged.

    >>> _format({"train/loss": 1.5, "val/uar": 0.25})
    ', training loss 1.500, validation UAR 25.0 %'
    """
    columns = (("train/loss", "training loss {:.3f}", 1), ("val/uar", "validation UAR {:.1f} %", 100))
    return "".join(f", {text.format(factor * values[name])}" for name, text, factor in columns if name in values)


def duration_text(seconds: float) -> str:
    """Return a duration in the unit that suits it.

    >>> duration_text(42.3), duration_text(600), duration_text(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
