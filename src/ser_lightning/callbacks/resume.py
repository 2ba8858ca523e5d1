"""Resume a run from Lightning's ``last.ckpt`` with the same result as an uninterrupted run."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ser_lightning.checkpoint import RESUME
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.task import EmotionTask


class Resume(pl.Callback):
    """Save and restore the state that Lightning's end-of-epoch checkpoint lacks.

    This state comprises: whether training had stopped early; the last step of a plateau scheduler, which Lightning
    takes after the checkpoint is written; the checkpoint folder, in case the run was moved; the digest of the corpus;
    the library versions; and the training time. Random number generators need no state, because every step is seeded
    from seed, epoch, process and step.

    Args:
        versions: library -> version

    """

    def __init__(self, *, versions: Mapping[str, str]) -> None:
        self.versions = dict(versions)
        self.corpus = ""
        self.resumed = False
        self.stopped = False  # whether training ended before its last epoch, as with early stopping
        self.finished = False  # whether callbacks changed the weights after the last epoch, as in weight averaging
        self.seconds_before = 0.0
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Total training time in seconds, including before a resume."""
        return self.seconds_before + time.perf_counter() - self.start

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state of the run."""
        checkpoint[RESUME] = {
            "stopped": trainer.should_stop,
            "finished": self.finished,
            "corpus": self.corpus,
            "versions": self.versions,
            "seconds": self.seconds,
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the state of the run, and point the checkpoint callbacks to the current folder."""
        state = checkpoint[RESUME]
        self.resumed, self.stopped, self.seconds_before = bool(checkpoint["epochs"]), state["stopped"], state["seconds"]
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, pl.callbacks.ModelCheckpoint):
                state = checkpoint["callbacks"].get(callback.state_key)
                if state is not None:
                    _move(state, str(callback.dirpath))
                    callback.current_score = state["current_score"]  # Lightning saves this but does not restore it

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop training at once if it had already ended."""
        self.corpus = corpus_digest(trainer.datamodule.preparation.utterances)  # type: ignore[attr-defined]
        self.start = time.perf_counter()
        trainer.should_stop = self.stopped

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Repeat the step of a plateau scheduler that the checkpoint lacks."""
        if not self.resumed:
            return
        values = cast(EmotionTask, pl_module).history.epochs[-1]["values"]
        for config in trainer.lr_scheduler_configs:
            due = trainer.current_epoch % config.frequency == 0
            if isinstance(config.scheduler, ReduceLROnPlateau) and due and config.monitor in values:
                progress = trainer.fit_loop.epoch_loop.scheduler_progress
                progress.increment_ready()
                config.scheduler.step(values[config.monitor])
                progress.increment_completed()


def _move(state: dict[str, Any], folder: str) -> None:
    """Update the paths in the state of a ModelCheckpoint after the run was moved to another folder."""
    before = str(state["dirpath"])

    def moved(path: str) -> str:
        return str(Path(folder) / Path(path).relative_to(before)) if path else path

    state["dirpath"] = folder
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = moved(state[key])
    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
