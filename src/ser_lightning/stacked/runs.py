"""One run of a stack: its task and data, the state of its callbacks, its best weights and its history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor

from ser_lightning.atomic import write_atomically
from ser_lightning.build import build
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.callbacks.record import log_epoch
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.refit import Stage
from ser_lightning.results import versions
from ser_lightning.run_folder import last_checkpoint
from ser_lightning.stacked.batches import batches_of
from ser_lightning.stacked.optimizer import Schedule
from ser_lightning.task import EmotionTask

BETTER: dict[str, Callable[[float, float], bool]] = {
    "max": lambda now, before: now > before,
    "min": lambda now, before: now < before,
}


@dataclass(kw_only=True)
class Snapshot:
    """Weights of a run after an epoch.

    Args:
        epoch: index of the epoch
        step: number of optimizer steps so far
        state: ``state_dict`` of the task

    """

    epoch: int
    step: int
    state: dict[str, Tensor]


@dataclass(kw_only=True)
class StackedRun:
    """A run of a stack.

    Args:
        config: resolved config of the run
        folder: folder of the run
        stage: the only training of the run, or one of two
        guard: guard of the folder
        identity: digest, choices and overrides to store in the result
        data: the data module, already set up
        task: the task
        initialization: what was taken from the checkpoint ``init_from``, if there is one

    """

    config: dict[str, Any]
    folder: Path
    stage: Stage
    guard: FolderGuard
    identity: Mapping[str, Any]
    data: SpeechDataModule
    task: EmotionTask
    initialization: dict[str, Any] | None
    schedule: Schedule = field(init=False)
    stopping: list[EarlyStopping] = field(init=False)
    monitor: str | None = field(init=False)
    best: Snapshot | None = None
    best_score: float | None = None
    rows: list[tuple[dict[str, float], int]] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        parts = self.stage.trainer_config(self.config)["callbacks"]
        trust = self.config["trust"]
        self.stopping = [
            build(f"callbacks.{name}", part, trust=trust)
            for name, part in parts.items()
            if str(part["_target_"]).endswith(".EarlyStopping")
        ]
        self.monitor, self.mode = parts["best"]["monitor"], parts["best"]["mode"]
        self.train_loader = self.data.train_dataloader()
        options = self.config["trainer"]
        steps = len(batches_of(self.train_loader))
        self.schedule = Schedule(self.task, epochs=options["max_epochs"], steps=steps)
        self.least, self.most = options["min_epochs"] or 0, options["max_epochs"]
        if self.stage.epochs is not None:
            self.least, self.most = 0, self.stage.epochs
        self.clip: float | None = options["gradient_clip_val"]

    @property
    def name(self) -> str:
        """Name of the run in messages."""
        return str(self.config["run_id"])

    @property
    def key_of_job(self) -> str:
        """Folder of the whole run, of which this may be a stage."""
        return str(self.guard.folder)

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return len(self.task.history.epochs)

    @property
    def validates(self) -> bool:
        """True if the run has validation clips."""
        return self.stage.epochs is None

    def rows_of_epoch(self) -> list[list[int]]:
        """Return the rows of every training batch of the current epoch."""
        return batches_of(self.train_loader, epoch=self.epoch)

    def key(self, step: int) -> list[int]:
        """Return the seed of a training step, which is that of the run alone; ``step`` counts from 0."""
        return [self.task.seed, self.epoch, 0, step + 1]

    def begin_epoch(self) -> None:
        """Start the values of an epoch."""
        self.guard.check()
        self.task.history.begin_epoch(lr=self.schedule.lr)

    def end_epoch(self, train: Mapping[str, float], val: Mapping[str, float], *, steps: int) -> bool:
        """Record an epoch, keep the weights if they are the best so far, and return whether the run ends.

        Args:
            train: training metrics
            val: validation metrics; empty without validation
            steps: number of optimizer steps of the epoch

        """
        task, epoch = self.task, self.epoch
        step = (task.history.epochs[-1]["step"] if task.history.epochs else -1) + steps
        task.history.current |= val
        if val:
            self.rows.append((_as_logged(val, epoch), step))
        self.rows.append((_as_logged(task.history.end_epoch(train, step=step), epoch), step))
        values = {name: float(np.float32(value)) for name, value in task.history.epochs[-1]["values"].items()}
        self.guard.check()
        if self._is_best(values):
            self.best = self.snapshot()
        log_epoch(task, epoch, name=self.stage.name)
        self.schedule.after_epoch(epoch, values)
        stops = [self._stops(callback, values) for callback in self.stopping]
        return epoch + 1 >= self.most or (any(stops) and epoch + 1 >= self.least)

    def _is_best(self, values: Mapping[str, float]) -> bool:
        """Return whether the last epoch is the best so far, as ModelCheckpoint decides it."""
        if self.monitor is None:
            return True  # the last epoch of a training without validation
        score = values.get(self.monitor)
        if score is None:
            return False
        if self.best_score is None or BETTER[self.mode](score, self.best_score):
            self.best_score = score
            return True
        return False

    def _stops(self, callback: EarlyStopping, values: Mapping[str, float]) -> bool:
        if callback.monitor not in values:
            return False
        stops, _ = callback._evaluate_stopping_criteria(torch.tensor(values[callback.monitor]))
        return bool(stops)

    def snapshot(self) -> Snapshot:
        """Return a copy of the weights."""
        state = {name: tensor.detach().clone() for name, tensor in self.task.state_dict().items()}
        return Snapshot(epoch=self.epoch - 1, step=self.task.history.epochs[-1]["step"] + 1, state=state)

    def write_checkpoint(self, snapshot: Snapshot, which: str) -> None:
        """Write ``best.ckpt`` or ``last.ckpt``, which Lightning and all commands read."""
        checkpoint: dict[str, Any] = {
            "epoch": snapshot.epoch,
            "global_step": snapshot.step,
            "pytorch-lightning_version": versions()["pytorch-lightning"],
            "state_dict": {name: tensor.cpu() for name, tensor in snapshot.state.items()},
        }
        self.task.on_save_checkpoint(checkpoint)
        checkpoint["epochs"] = checkpoint["epochs"][: snapshot.epoch + 1]
        with write_atomically(last_checkpoint(self.folder).with_name(f"{which}.ckpt"), "wb") as file:
            torch.save(checkpoint, file)


def _as_logged(values: Mapping[str, float], epoch: int) -> dict[str, float]:
    """Return the values of an epoch as Lightning logs them, in single precision and with the epoch."""
    return {name: float(np.float32(value)) for name, value in values.items()} | {"epoch": epoch}
