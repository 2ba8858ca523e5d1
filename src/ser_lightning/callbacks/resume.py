"""What it takes to go on with a run as if it had never stopped."""

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from ser_lightning.checkpoint import RESUME
from ser_lightning.data.store import corpus_digest


class Resume(pl.Callback):
    """Save and restore what Lightning leaves out, and go on at the start of the next epoch.

    A checkpoint is written when an epoch is over, so a resumed run replays the epoch it was stopped in from its start:
    with the generators of random numbers and the order of the clips that a run has there that was never stopped.

    Args:
        versions: of the libraries

    """

    def __init__(self, *, versions: Mapping[str, str]) -> None:
        self.versions = dict(versions)
        self.corpus = ""
        self.generators: dict[str, Any] | None = None  # of the checkpoint that was resumed
        self.stopped = False  # training was over before its last epoch, as by early stopping
        self.seconds_before = 0.0
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long the run has been trained for, in all its lives."""
        return self.seconds_before + time.perf_counter() - self.start

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state of the generators and what else belongs to a run."""
        checkpoint[RESUME] = {
            "generators": generators(),
            "stopped": trainer.should_stop,
            "corpus": self.corpus,
            "versions": self.versions,
            "seconds": self.seconds,
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take that state, and bring Lightning's own into line with this folder and this point of time."""
        state = checkpoint[RESUME]
        self.generators, self.stopped = state["generators"], state["stopped"]
        self.seconds_before = state["seconds"]
        # It was saved at the very end of an epoch, which Lightning counts as completed a moment later.
        for progress in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
            progress["completed"] = progress["processed"]
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, pl.callbacks.ModelCheckpoint):
                state = checkpoint["callbacks"].get(callback.state_key)
                if state is not None:
                    _move(state, str(callback.dirpath))
                    callback.current_score = state["current_score"]  # which it saves and does not load

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Train no further if training was over."""
        self.corpus = corpus_digest(trainer.datamodule.preparation.utterances)  # type: ignore[attr-defined]
        self.start = time.perf_counter()
        trainer.should_stop = self.stopped

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the next epoch as any other."""
        if self.generators is None:
            return
        # Lightning would go on inside the epoch that is over: with the order of the first, and without its first hooks.
        loops = (trainer.fit_loop, trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_loop.val_loop)
        trainer.fit_loop.restarting = False
        for loop in loops:
            loop.on_iteration_done()
        set_generators(self.generators)


def _move(state: dict[str, Any], folder: str) -> None:
    """Bring the state of a ModelCheckpoint into line with a folder that was moved since."""
    before = str(state["dirpath"])

    def moved(path: str) -> str:
        return str(Path(folder) / Path(path).relative_to(before)) if path else path

    state["dirpath"] = folder
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = moved(state[key])
    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}


def generators() -> dict[str, Any]:
    """Return the state of every global generator of random numbers, in plain types."""
    _, words, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [torch.from_numpy(np.asarray(words).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],  # type: ignore[no-untyped-call]
    }


def set_generators(state: dict[str, Any]) -> None:
    """Set every global generator to a state that :func:`generators` returned."""
    random.setstate(state["python"])
    words, *rest = state["numpy"]
    np.random.set_state(("MT19937", words.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    cuda: list[Tensor] = state["cuda"]
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
