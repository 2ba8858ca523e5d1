"""LightningModule of an emotion classifier: loss, metrics, optimizer and scheduler."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ser_lightning.build import build
from ser_lightning.checkpoint import KEY, build_model, contents, load_state, read_checkpoint
from ser_lightning.data.batch import Batch
from ser_lightning.epoch_metrics import EpochMetrics
from ser_lightning.errors import InputError
from ser_lightning.evaluation import Evaluation, evaluation_batches
from ser_lightning.fine_tuning import check_lr_factors, freeze, parameter_groups, set_frozen_mode
from ser_lightning.history import History
from ser_lightning.losses import EmotionLoss, describe_divergence
from ser_lightning.metrics import METRICS
from ser_lightning.models.ensemble import mean_logits, members_of
from ser_lightning.random_state import seed_generators
from ser_lightning.scheduler import MakeOptimizer, SchedulerConfig, build_optimizer, build_scheduler

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule

LOGGED = (*METRICS, "loss")  # logged for every subset, as in ``val/uar``


class EmotionTask(pl.LightningModule):
    """Training and evaluation of an emotion classifier.

    The metrics of a subset are computed from one confusion matrix over all clips and processes, so that every clip has
    the same weight, also in a smaller last batch. Training metrics are accumulated while the weights change and dropout
    is active; ``result.json`` contains those of the finished model. The training loss is the minimized one; the
    validation loss is the plain cross-entropy, as in ``result.json``.

    The random numbers of a training step depend only on the seed, the epoch, the process and the step, so that a
    resumed run draws the same ones.

    Args:
        model: maps features (B, K, F) and lengths (B,) to logits (B, classes); its ``standardize`` layer, if it has
            one, is fitted to the training set before the first step
        optimizer: builds the optimizer from the parameters
        classes: number of classes
        evaluation: how validation and test are evaluated
        loss: the training loss
        scheduler: learning rate scheduler; ``None`` for a constant learning rate
        frozen: modules of the model that are not trained
        lr_factors: module name -> factor of its learning rate
        seed: seed of dropout and all other random numbers of a training step
        payload: data stored in checkpoints beside Lightning's own keys (see :func:`ser_lightning.checkpoint.contents`)

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
        frozen: Sequence[nn.Module] = (),
        lr_factors: Mapping[str, float] | None = None,
        seed: int = 0,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer, self.scheduler = optimizer, scheduler
        self.frozen, self.lr_factors = tuple(frozen), dict(lr_factors or {})
        # LearningRateFinder sets this attribute.
        self.lr: float | None = optimizer.keywords.get("lr") if isinstance(optimizer, functools.partial) else None
        self.evaluation, self.loss, self.seed, self.payload = evaluation, loss, seed, payload
        self.evaluating = ExitStack()  # open while validation or test runs
        self.train_metrics = EpochMetrics(classes=classes)
        self.val_metrics = EpochMetrics(classes=classes)
        self.test_metrics = EpochMetrics(classes=classes)
        self.history = History()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, emotions: Sequence[str], features: int) -> Self:
        """Build the untrained task of a resolved config.

        Args:
            config: config of a run
            emotions: class names in order
            features: F, size of the feature axis

        Raises:
            InputError: a part rejects one of its values

        """
        trust = config.get("trust", ())
        model = build_model(config, features=features, classes=len(emotions))
        optimizer = build_optimizer(config, model)
        return cls(
            model=model,
            optimizer=optimizer,
            classes=len(emotions),
            evaluation=build("evaluation", config["evaluation"], trust=trust),
            loss=build("loss", config["loss"], trust=trust),
            scheduler=build_scheduler(config, optimizer(model.parameters())),
            frozen=freeze(model, config["freeze"]),
            lr_factors=check_lr_factors(
                config["lr_factors"], model, optimizer=config["optim"], scheduler=config["scheduler"]
            ),
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
        trust: Sequence[str] = (),
    ) -> Self:
        """Build the task of a ``ser-train`` checkpoint with its weights, in evaluation mode.

        Args:
            checkpoint_path: the checkpoint; no code in it is executed
            map_location: device of the weights
            weights_only: must be True; checkpoints of this package contain only tensors and plain types
            trust: packages of the user whose classes the checkpoint may name

        Raises:
            InputError: the file is not a checkpoint of this package, is damaged, names a package that is
                not in ``trust``, or ``weights_only`` is False

        """
        if not weights_only:
            raise InputError(
                "weights_only is False; expected True: a checkpoint is read without executing anything in it"
            )
        checkpoint = read_checkpoint(checkpoint_path, trust=trust)
        task = cls.from_config(checkpoint.config, emotions=checkpoint.emotions, features=checkpoint.features)
        load_state(task, checkpoint.state, path=checkpoint_path)
        if map_location is not None:
            task.to(map_location)
        return task.eval()

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of all modules but the frozen ones."""
        super().train(mode)
        set_frozen_mode(self.frozen)
        return self

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
        self.fit_statistics(data)

    def fit_statistics(self, data: "SpeechDataModule") -> None:
        """Fit the standardization and the class weights to the training set of a data module."""
        standardize = getattr(self.model, "standardize", None)
        if standardize is not None and standardize not in self.frozen:
            standardize.fit(*data.training_statistics())
        if hasattr(self.loss, "weigh"):  # a loss of the user need not have it
            self.loss.weigh(data.training_counts())

    def configure_optimizers(self) -> Any:
        """Return the optimizer and, if there is one, the learning rate scheduler."""
        parameters = ((name.removeprefix("model."), parameter) for name, parameter in self.named_parameters())
        optimizer = self.make_optimizer(parameter_groups(parameters, lr=self.lr, factors=self.lr_factors))
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
                "strict": False,  # in an epoch without validation there is no value to monitor
            },
        }

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of a batch, (B, classes)."""
        logits: Tensor = self.model(batch.features, batch.lengths)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; for accuracy, a mixture of two clips has the class with the larger share."""
        logits = [member(batch.features, batch.lengths) for member in members_of(self.model)]
        target = batch.target if batch.shares is None else batch.shares
        losses = [self.loss(each, target) for each in logits]
        self._record(batch, self.train_metrics, mean_logits(logits), sum(losses) / len(losses))
        return torch.stack(losses).sum()  # the gradient of each network of an ensemble is that of its own loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation metrics."""
        self._evaluate(batch, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test metrics."""
        self._evaluate(batch, self.test_metrics)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probability of each class, (B, classes)."""
        probabilities: Tensor = self(batch).float().softmax(1)
        return probabilities

    def on_train_epoch_start(self) -> None:
        """Reset the metrics, record the learning rate and seed the random numbers of the epoch."""
        set_frozen_mode(self.frozen)  # Lightning does not call train()
        self.train_metrics.reset()  # a learning rate search may have stopped in the middle of an epoch
        self.history.begin_epoch(lr=float(self.trainer.optimizers[0].param_groups[0]["lr"]))
        self._seed(step=0)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the random numbers of the step."""
        self._seed(step=batch_idx + 1)

    def on_train_epoch_end(self) -> None:
        """Log the training metrics and add the epoch to the history."""
        values = self.train_metrics.compute_and_reset("train")
        self.log_dict(self.history.end_epoch(values, step=self.global_step - 1), sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Put the model into the mode in which it is evaluated."""
        self._begin_evaluation(self.trainer.val_dataloaders)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics, except in Lightning's sanity check before the first epoch."""
        self.evaluating.close()
        values = self.val_metrics.compute_and_reset("val")
        if not self.trainer.sanity_checking:
            self.history.current |= values
            for name, value in values.items():
                self.log(name, value, prog_bar=name == "val/uar", sync_dist=True)

    def on_test_epoch_start(self) -> None:
        """Put the model into the mode in which it is evaluated."""
        self._begin_evaluation(self.trainer.test_dataloaders)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self.evaluating.close()
        self.log_dict(self.test_metrics.compute_and_reset("test"), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the training history and the data needed to rebuild the task."""
        checkpoint["epochs"] = list(self.history.epochs)
        if self.payload is not None:
            checkpoint[KEY] = dict(self.payload)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the training history."""
        self.history.epochs = list(checkpoint.get("epochs", []))

    def _seed(self, *, step: int) -> None:
        seed_generators([self.seed, self.current_epoch, self.global_rank, step], device=self.device)

    def _begin_evaluation(self, loaders: object) -> None:
        if not self.trainer.sanity_checking:  # the sanity check must not update running statistics
            loader = cast(DataLoader[Batch], loaders)
            self.evaluating.enter_context(
                evaluation_batches(self.model, loader, evaluation=self.evaluation, device=self.device)
            )

    def _evaluate(self, batch: Batch, metrics: EpochMetrics) -> None:
        logits = self(batch)
        target = batch.target if batch.shares is None else batch.shares
        self._record(batch, metrics, logits, F.cross_entropy(logits, target))

    def _record(self, batch: Batch, metrics: EpochMetrics, logits: Tensor, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise InputError(describe_divergence(loss.item(), epoch=len(self.history.epochs)))
        metrics.update(logits.detach(), batch.target, loss.detach())
