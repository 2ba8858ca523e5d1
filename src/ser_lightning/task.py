"""What is optimised and what is measured: the LightningModule."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from ser_lightning import metrics
from ser_lightning.data.batch import Batch
from ser_lightning.errors import InputError
from ser_lightning.evaluation import Evaluation, measuring
from ser_lightning.loss import EmotionLoss


class EmotionTask(pl.LightningModule):
    """Training of an emotion classifier.

    Every metric comes from one confusion matrix over all clips of a subset, so that a short last batch weighs what its
    clips weigh. Training metrics are gathered while the weights move and with dropout on; ``result.json`` has those of
    the finished model. The loss of training is what is minimised; that of validation is the plain cross-entropy, as in
    ``result.json``.

    Args:
        model: maps features (B, F, K) and lengths (B,) to logits (B, classes); its ``standardize`` layer, if it has
            one, is fitted to the training set before the first step
        optimizer: makes the optimizer of the parameters
        classes: number of classes
        evaluation: how validation measures
        loss: what training minimises
        scheduler: makes what changes the learning rate at the end of each epoch; None leaves it
        watched: the figure of an epoch by which a ReduceLROnPlateau goes, such as ``train/loss``; None for any other

    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        classes: int,
        evaluation: Evaluation,
        loss: EmotionLoss,
        scheduler: Callable[[torch.optim.Optimizer], LRScheduler] | None,
        watched: str | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.evaluation = evaluation
        self.measuring = ExitStack()  # open while validation measures
        self.make_optimizer = optimizer
        self.make_scheduler, self.watched = scheduler, watched
        self.scheduler: LRScheduler | None = None
        self.scheduled: dict[str, Any] = {}  # state of the scheduler in the checkpoint that was resumed
        self.loss = loss
        self.train_tally = Tally(classes=classes)
        self.val_tally = Tally(classes=classes)
        self.history: dict[str, list[float]] = defaultdict(list)
        self.epochs: list[dict[str, Any]] = []  # of each: its last step, when it ended (seconds since 1970), its values
        self.values: dict[str, float] = {}  # of this epoch

    def setup(self, stage: str) -> None:
        """Fit the standardisation and the weights of the classes to the training set."""
        if stage != "fit":
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        standardize = getattr(self.model, "standardize", None)
        if standardize is not None:
            standardize.fit(*data.training_statistics())
        self.loss.weigh(data.training_counts())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer; the scheduler is ours to move.

        Lightning moves one that watches a figure when the checkpoint of the epoch is written already: a resumed run
        would lack that step.
        """
        optimizer = self.make_optimizer(self.parameters())
        if self.make_scheduler is not None:
            self.scheduler = self.make_scheduler(optimizer)
            if self.scheduled:
                self.scheduler.load_state_dict(self.scheduled)
        return optimizer

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of a batch, (B, classes)."""
        logits: Tensor = self.model(batch.features, batch.lengths)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; where clips are mixed, each counts as what it is most of."""
        return self._step(batch, self.train_tally, self.loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch."""
        self._step(batch, self.val_tally, F.cross_entropy)

    def on_train_epoch_end(self) -> None:
        """Log what training saw, and set the learning rate of the next epoch."""
        self._log_epoch("train", self.train_tally)
        self._schedule()
        self.epochs.append({"step": self.global_step - 1, "ended": time.time(), "values": self.values})
        self.values = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run must know of the epochs before."""
        checkpoint["history"] = {name: list(values) for name, values in self.history.items()}
        checkpoint["epochs"] = list(self.epochs)
        if self.scheduler is not None:
            checkpoint["scheduler"] = self.scheduler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it."""
        self.history = defaultdict(list, checkpoint["history"])
        self.epochs = list(checkpoint["epochs"])
        self.scheduled = checkpoint.get("scheduler", {})

    def on_validation_epoch_start(self) -> None:
        """Bring the model into the state in which it is measured."""
        if not self.trainer.sanity_checking:  # a trial may not move running statistics
            loader = cast(DataLoader[Batch], self.trainer.val_dataloaders)
            state = measuring(self.model, loader, evaluation=self.evaluation, device=self.device)
            self.measuring.enter_context(state)

    def on_validation_epoch_end(self) -> None:
        """Log the whole validation set, but for Lightning's trial before the first epoch."""
        self.measuring.close()
        if not self.trainer.sanity_checking:
            self._log_epoch("val", self.val_tally)

    def _schedule(self) -> None:
        for optimizer in self.trainer.optimizers:
            rate = float(optimizer.param_groups[0]["lr"])
            self.history["train/learning_rate"].append(rate)
            self.values["train/learning_rate"] = rate
        if isinstance(self.scheduler, ReduceLROnPlateau):
            if self.watched in self.values:  # which a figure of validation is not in an epoch without
                self.scheduler.step(self.values[self.watched])
        elif self.scheduler is not None:
            self.scheduler.step()

    def _step(self, batch: Batch, tally: "Tally", measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        logits = self(batch)
        loss = measure(logits, batch.target if batch.shares is None else batch.shares)
        if not torch.isfinite(loss):
            raise InputError(f"the loss became {loss.item()} in epoch {self.current_epoch}; lower optim.lr")
        tally.update(logits.detach(), batch.target, loss.detach())
        return loss

    def _log_epoch(self, subset: str, tally: "Tally") -> None:
        for name, value in tally.take().items():
            self.history[f"{subset}/{name}"].append(value)
            self.values[f"{subset}/{name}"] = value
            # For callbacks and the progress bar; TensorBoard's curves come from the history.
            self.log(f"{subset}/{name}", value, prog_bar=name == "uar", logger=False)


class Tally(nn.Module):
    """Confusion matrix and mean loss of an epoch.

    Args:
        classes: number of classes

    """

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.confusion = MulticlassConfusionMatrix(classes, validate_args=False)
        self.loss = MeanMetric()

    def update(self, logits: Tensor, target: Tensor, loss: Tensor) -> None:
        """Add a batch: logits (B, classes), target (B,), and the mean loss of the batch."""
        self.confusion.update(logits, target)
        self.loss.update(loss, len(target))

    def take(self) -> dict[str, float]:
        """Return loss, accuracy, UAR and macro F1 of all batches, and forget them."""
        matrix = self.confusion.compute().cpu().numpy()
        values = {
            "loss": float(self.loss.compute()),
            "accuracy": metrics.accuracy(matrix),
            "uar": metrics.uar(matrix),
            "macro_f1": metrics.macro_f1(matrix),
        }
        self.confusion.reset()
        self.loss.reset()
        return values
