"""SLURM's requeue signal, answered where a run can be left."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment


class Requeue(pl.Callback):
    """Have Lightning answer SLURM's requeue signal between two batches.

    Its handler closes the loggers and writes a checkpoint wherever the signal finds the process. Inside the writer of
    TensorBoard, whose lock the process holds already, it would wait for itself for ever; inside a checkpoint it would
    write that twice at once. So the signal is only noted when it comes.
    """

    def __init__(self) -> None:
        self.answer: Callable[[int, FrameType | None], Any] | None = None
        self.noted: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the place of Lightning's handler, which it has just set and takes back itself after training."""
        if not SLURMEnvironment.detect():
            return
        handler = signal.getsignal(signal.SIGUSR1)
        if callable(handler):
            self.answer = handler
            signal.signal(signal.SIGUSR1, self._note)

    def on_train_batch_end(self, *_: Any) -> None:
        """Answer."""
        self._answer()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Answer."""
        self._answer()

    def on_train_end(self, *_: Any) -> None:
        """Answer what came after the last batch."""
        self._answer()

    def _note(self, signum: int, _: FrameType | None) -> None:
        self.noted = signum

    def _answer(self) -> None:
        if self.noted is not None and self.answer is not None:
            signum, self.noted = self.noted, None
            self.answer(signum, None)
