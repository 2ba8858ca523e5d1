"""Handle SLURM's requeue signal only at points where a run can safely be interrupted."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment


class Requeue(pl.Callback):
    """Defer Lightning's handling of SLURM's requeue signal until after the current batch.

    Lightning's handler closes the loggers and writes a checkpoint at whatever point the signal arrives. Inside
    TensorBoard's writer, whose lock the process already holds, it would deadlock; inside a checkpoint it would write
    the file twice at the same time. The signal is therefore only recorded when it arrives.
    """

    def __init__(self) -> None:
        self.answer: Callable[[int, FrameType | None], Any] | None = None
        self.noted: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace the handler that Lightning has just installed; Lightning restores the original after training."""
        if not SLURMEnvironment.detect():
            return
        handler = signal.getsignal(signal.SIGUSR1)
        if callable(handler):
            self.answer = handler
            signal.signal(signal.SIGUSR1, self._note)

    def on_train_batch_end(self, *_: Any) -> None:
        """Handle a pending signal."""
        self._answer()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Handle a pending signal."""
        self._answer()

    def on_train_end(self, *_: Any) -> None:
        """Handle a signal that arrived after the last batch."""
        self._answer()

    def _note(self, signum: int, _: FrameType | None) -> None:
        self.noted = signum

    def _answer(self) -> None:
        if self.noted is not None and self.answer is not None:
            signum, self.noted = self.noted, None
            self.answer(signum, None)
