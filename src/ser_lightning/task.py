"""What is optimised and what is measured: the LightningModule."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from ser_lightning import metrics
from ser_lightning.data.batch import Batch
from ser_lightning.errors import InputError
from ser_lightning.evaluation import Evaluation, measuring
from ser_lightning.model.fitting import Fitted

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule


class EmotionTask(pl.LightningModule):
    """Cross-entropy training of an emotion classifier, or fitting of one that learns from all clips at once.

    What is fitted is fitted before the first step of an epoch that takes none: the optimizer counts its batches and
    moves nothing.

    Every metric comes from one confusion matrix over all clips of a subset, so that a short last batch weighs what its
    clips weigh. Training metrics are gathered while the weights move and with dropout on; ``result.json`` has those of
    the finished model.

    Args:
        model: maps features (B, F, K) and lengths (B,) to logits (B, classes); its ``standardize`` layer, if it has
            one, is fitted to the training set before the first step, and then itself if it is a ``Fitted``
        optimizer: makes the optimizer of the parameters
        classes: number of classes
        evaluation: how validation measures

    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        classes: int,
        evaluation: Evaluation,
    ) -> None:
        super().__init__()
        self.model = model
        self.automatic_optimization = not isinstance(model, Fitted)
        self.evaluation = evaluation
        self.measuring = ExitStack()  # open while validation measures
        self.make_optimizer = optimizer
        self.loss = nn.CrossEntropyLoss()
        self.train_tally = Tally(classes=classes)
        self.val_tally = Tally(classes=classes)
        self.history: dict[str, list[float]] = defaultdict(list)
        self.epochs: list[dict[str, Any]] = []  # of each: its last step, when it ended (seconds since 1970), its values
        self.values: dict[str, float] = {}  # of this epoch

    def setup(self, stage: str) -> None:
        """Fit the standardisation to the training set."""
        standardize = getattr(self.model, "standardize", None)
        if stage == "fit" and standardize is not None:
            standardize.fit(*self.trainer.datamodule.training_statistics())  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return self.make_optimizer(self.parameters())

    def on_train_start(self) -> None:
        """Fit a model that learns from all clips at once; a resumed run that has done so does not start."""
        if isinstance(self.model, Fitted):
            data: SpeechDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
            self.model.fit(**data.training_clips()._asdict(), seed=data.seed)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of a batch, (B, classes)."""
        logits: Tensor = self.model(batch.features, batch.lengths)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        if not self.automatic_optimization:
            cast(LightningOptimizer, self.optimizers()).step()  # checkpoints are only written after a step
        return self._step(batch, self.train_tally)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch."""
        self._step(batch, self.val_tally)

    def on_train_epoch_end(self) -> None:
        """Log what training saw."""
        self._log_epoch("train", self.train_tally)
        self.epochs.append({"step": self.global_step - 1, "ended": time.time(), "values": self.values})
        self.values = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run must know of the epochs before."""
        checkpoint["history"] = {name: list(values) for name, values in self.history.items()}
        checkpoint["epochs"] = list(self.epochs)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it."""
        self.history = defaultdict(list, checkpoint["history"])
        self.epochs = list(checkpoint["epochs"])

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

    def _step(self, batch: Batch, tally: "Tally") -> Tensor:
        logits = self(batch)
        loss: Tensor = self.loss(logits, batch.target)
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
