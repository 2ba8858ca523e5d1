"""Loss, metrics and optimizer of an emotion classifier: the LightningModule."""

import functools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from ser_lightning.build import build
from ser_lightning.checkpoint import KEY, Checkpoint, build_model, contents, load_state, read_checkpoint
from ser_lightning.data.batch import Batch
from ser_lightning.errors import InputError
from ser_lightning.evaluation import Evaluation, measuring
from ser_lightning.loss import EmotionLoss
from ser_lightning.metrics import METRICS, compute_metrics
from ser_lightning.scheduler import SchedulerConfig, check_scheduler, split_scheduler_config

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
LOGGED = (*METRICS, "loss")  # of every subset, as ``val/uar``


class EmotionTask(pl.LightningModule):
    """Training and evaluation of an emotion classifier.

    Metrics of a subset come from one confusion matrix over all its clips and all processes, so that a short last batch
    weighs what its clips weigh. Training metrics are gathered while the weights change and dropout is active;
    ``result.json`` has those of the finished model. The training loss is what is minimized; the validation loss is the
    plain cross-entropy, as in ``result.json``.

    Random numbers of a training step are a function of the seed, the epoch, the process and the step alone: a run that
    was stopped and resumed draws the same ones.

    Args:
        model: maps features (B, F, K) and lengths (B,) to logits (B, classes); its ``standardize`` layer, if it has
            one, is fitted to the training set before the first step
        optimizer: makes the optimizer of the parameters
        classes: number of classes
        evaluation: how validation and test are measured
        loss: what training minimizes
        scheduler: of the learning rate; None keeps it constant
        seed: of dropout and everything else that is drawn in a training step
        payload: what checkpoints carry beside Lightning's own keys (see :func:`ser_lightning.checkpoint.contents`)

    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: MakeOptimizer,
        classes: int,
        evaluation: Evaluation,
        loss: EmotionLoss,
        scheduler: SchedulerConfig | None = None,
        seed: int = 0,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer, self.scheduler = optimizer, scheduler
        # LearningRateFinder sets this attribute.
        self.lr: float | None = optimizer.keywords.get("lr") if isinstance(optimizer, functools.partial) else None
        self.evaluation, self.loss, self.seed, self.payload = evaluation, loss, seed, payload
        self.evaluating = ExitStack()  # open while validation or test runs
        self.train_metrics = EpochMetrics(classes=classes)
        self.val_metrics = EpochMetrics(classes=classes)
        self.test_metrics = EpochMetrics(classes=classes)
        self.epochs: list[dict[str, Any]] = []  # of each: number of its last step, and its logged values
        self.epoch_values: dict[str, float] = {}  # of the current epoch

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, emotions: Sequence[str], features: int) -> Self:
        """Build the task of a resolved config, untrained.

        Args:
            config: of a run
            emotions: the classes in order
            features: F, size of the feature axis

        Raises:
            InputError: a value that a part refuses

        """
        model = build_model(config, features=features, classes=len(emotions))
        optimizer = _build_optimizer(config, model)
        return cls(
            model=model,
            optimizer=optimizer,
            classes=len(emotions),
            evaluation=build("evaluation", config["evaluation"]),
            loss=build("loss", config["loss"]),
            scheduler=_build_scheduler(config, optimizer(model.parameters())),
            seed=config["seed"],
            payload=contents(config=config, emotions=tuple(emotions), features=features),
        )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: str | torch.device | None = None,
        *,
        weights_only: bool = True,
        **replaced: Any,
    ) -> Self:
        """Build the task that a checkpoint of ``ser-train`` describes, with its weights, in evaluation mode.

        Args:
            checkpoint_path: the file; nothing in it is executed
            map_location: device of the weights
            weights_only: only True: checkpoints of this project hold tensors and plain types
            replaced: attributes to set on the task, such as ``loss``

        Raises:
            InputError: no checkpoint of this project, a damaged one, or ``weights_only=False``

        """
        if not weights_only:
            raise InputError(
                "weights_only is False; expected True: a checkpoint is read without executing anything in it"
            )
        checkpoint = read_checkpoint(checkpoint_path)
        task = cls.from_config(checkpoint.config, emotions=checkpoint.emotions, features=checkpoint.features)
        for name, value in replaced.items():
            setattr(task, name, value)
        load_task_state(task, checkpoint, path=checkpoint_path)
        if map_location is not None:
            task.to(map_location)
        return task.eval()

    def setup(self, stage: str) -> None:
        """Fit the standardization and the class weights to the training set.

        Raises:
            InputError: training was started without a data module

        """
        if stage != "fit":
            return
        data: SpeechDataModule | None = getattr(self.trainer, "datamodule", None)
        if data is None:
            raise InputError("there is no data module; call trainer.fit(task, datamodule=SpeechDataModule(...))")
        standardize = getattr(self.model, "standardize", None)
        if standardize is not None:
            standardize.fit(*data.training_statistics())
        self.loss.weigh(data.training_counts())

    def configure_optimizers(self) -> Any:
        """Return the optimizer and the schedule of its learning rate."""
        optimizer = self.make_optimizer(self.parameters(), **({} if self.lr is None else {"lr": self.lr}))
        if self.scheduler is None:
            return optimizer
        by_epoch = self.scheduler.interval == "epoch"
        intervals = self.trainer.max_epochs if by_epoch else self.trainer.estimated_stepping_batches
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": self.scheduler.build(optimizer, intervals=int(intervals or 1)),
                "interval": self.scheduler.interval,
                "frequency": self.scheduler.frequency,
                "monitor": self.scheduler.monitor,
                "strict": False,  # an epoch without validation has no value to follow
            },
        }

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of a batch, (B, classes)."""
        logits: Tensor = self.model(batch.features, batch.lengths)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; a mixture of two clips counts as the class of its greater share."""
        return self._step(batch, self.train_metrics, self.loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation metrics."""
        self._step(batch, self.val_metrics, F.cross_entropy)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test metrics."""
        self._step(batch, self.test_metrics, F.cross_entropy)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probability of each class, (B, classes)."""
        probabilities: Tensor = self(batch).float().softmax(1)
        return probabilities

    def on_train_epoch_start(self) -> None:
        """Begin an epoch: draw from its own random numbers and note its learning rate."""
        self.train_metrics.reset()  # a learning rate search stops in the middle of an epoch
        self.epoch_values = {"train/learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"])}
        self._seed(step=0)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the random numbers of the step."""
        self._seed(step=batch_idx + 1)

    def on_train_epoch_end(self) -> None:
        """Log the training metrics and add the epoch to the history."""
        values = {f"train/{name}": value for name, value in self.train_metrics.compute().items()}
        self.train_metrics.reset()
        self.epoch_values |= values
        self.log_dict(values | {"train/learning_rate": self.epoch_values["train/learning_rate"]}, sync_dist=True)
        self.epochs.append({"step": self.global_step - 1, "values": dict(self.epoch_values)})

    def on_validation_epoch_start(self) -> None:
        """Bring the model into the state in which it is evaluated."""
        self._begin_evaluation(self.trainer.val_dataloaders)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics, except of Lightning's sanity check before the first epoch."""
        self.evaluating.close()
        values = {f"val/{name}": value for name, value in self.val_metrics.compute().items()}
        self.val_metrics.reset()
        if not self.trainer.sanity_checking:
            self.epoch_values |= values
            for name, value in values.items():
                self.log(name, value, prog_bar=name == "val/uar", sync_dist=True)

    def on_test_epoch_start(self) -> None:
        """Bring the model into the state in which it is evaluated."""
        self._begin_evaluation(self.trainer.test_dataloaders)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self.evaluating.close()
        self.log_dict({f"test/{name}": value for name, value in self.test_metrics.compute().items()}, sync_dist=True)
        self.test_metrics.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history of the run and what it takes to build the task again."""
        checkpoint["epochs"] = list(self.epochs)
        if self.payload is not None:
            checkpoint[KEY] = dict(self.payload)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the history of the run."""
        self.epochs = list(checkpoint.get("epochs", []))

    @property
    def history(self) -> dict[str, list[float]]:
        """Logged values of every epoch that has them, by name."""
        history: dict[str, list[float]] = defaultdict(list)
        for epoch in self.epochs:
            for name, value in epoch["values"].items():
                history[name].append(value)
        return dict(history)

    def _seed(self, *, step: int) -> None:
        words = np.random.SeedSequence([self.seed, self.current_epoch, self.global_rank, step]).generate_state(3)
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.manual_seed(int(words[2]))

    def _begin_evaluation(self, loaders: object) -> None:
        if not self.trainer.sanity_checking:  # which must not move running statistics
            loader = cast(DataLoader[Batch], loaders)
            self.evaluating.enter_context(measuring(self.model, loader, evaluation=self.evaluation, device=self.device))

    def _step(self, batch: Batch, metrics: "EpochMetrics", measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        logits = self(batch)
        loss = measure(logits, batch.target if batch.shares is None else batch.shares)
        if not torch.isfinite(loss):
            raise InputError(f"the loss became {loss.item()} in epoch {self.current_epoch}; lower optim.lr")
        metrics.update(logits.detach(), batch.target, loss.detach())
        return loss


class EpochMetrics(nn.Module):
    """Loss and metrics of a subset over an epoch, from all processes.

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
        self.loss.update(loss.float(), len(target))

    def compute(self) -> dict[str, float]:
        """Return the mean loss and every metric of :data:`ser_lightning.metrics.METRICS`."""
        return {
            "loss": float(self.loss.compute()),
            **compute_metrics(self.confusion.compute().cpu().numpy()),
        }

    def reset(self) -> None:
        """Forget all batches."""
        self.confusion.reset()
        self.loss.reset()


def load_task_state(task: EmotionTask, checkpoint: Checkpoint, *, path: str | Path) -> None:
    """Load the weights of a checkpoint into a task, strictly.

    Raises:
        InputError: the weights are of another model

    """
    load_state(task, checkpoint.state, path=path)


def _build_optimizer(config: Mapping[str, Any], model: nn.Module) -> MakeOptimizer:
    make: MakeOptimizer = build("optim", config["optim"])
    try:
        make(model.parameters())  # Lightning calls it much later: what it refuses must be known now
    except (TypeError, ValueError) as error:
        raise InputError(f"optim: {error}") from error
    return make


def _build_scheduler(config: Mapping[str, Any], trial: torch.optim.Optimizer) -> SchedulerConfig | None:
    arguments, ours = split_scheduler_config(config["scheduler"])
    if not arguments:
        return None
    scheduler = SchedulerConfig(make=build("scheduler", arguments), **ours)
    check_scheduler(scheduler, trial)
    return scheduler
