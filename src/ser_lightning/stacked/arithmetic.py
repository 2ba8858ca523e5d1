"""Steps of several runs: all in one operation each on an accelerator, or one run after another on a CPU."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ser_lightning.data.batch import Batch
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.epoch_metrics import epoch_values
from ser_lightning.errors import InputError
from ser_lightning.evaluation import DRAW, evaluation_batches
from ser_lightning.fine_tuning import set_frozen_mode
from ser_lightning.losses import EmotionLoss, describe_divergence
from ser_lightning.models.ensemble import mean_logits, members_of
from ser_lightning.random_state import seed_generators, torch_seed
from ser_lightning.stacked.batches import FoldedBatch, Gatherer, batches_of
from ser_lightning.stacked.compiled import CompiledLosses
from ser_lightning.stacked.layers import Clips, by_run
from ser_lightning.stacked.networks import stack_networks
from ser_lightning.stacked.weights import NotStackableError, SharedWeights
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)

Loaders = Sequence[DataLoader[Batch]]
Values = dict[str, float] | str  # logged values of an epoch, or the reason why the run ends


class Arithmetic:
    """Computes the steps of runs that share the arrays of their weights.

    Args:
        tasks: the tasks of the runs, on the device
        weights: weights of their networks
        train: training batches of each run
        val: validation batches of each run; empty without validation

    """

    def __init__(self, tasks: Sequence[EmotionTask], weights: SharedWeights, *, train: Loaders, val: Loaders) -> None:
        self.tasks, self.weights, self.val = list(tasks), weights, list(val)
        self.device = weights.values.device
        dtype = weights.values.dtype
        self.train_data = Gatherer(train, device=self.device, dtype=dtype)
        self.val_data = Gatherer(val, device=self.device, dtype=dtype)

    @abstractmethod
    def train_step(self, rows: Sequence[list[int]], keys: Sequence[Sequence[int]]) -> None:
        """Compute the gradients of a batch of each run.

        Args:
            rows: rows of the batch in the training set of each run; empty for a run without a batch
            keys: seeds of the random numbers of each run

        """

    @abstractmethod
    def train_values(self) -> list[Values]:
        """Return the training metrics of each run since the last call."""

    @abstractmethod
    def validate(self) -> list[Values]:
        """Return the validation metrics of each run."""


class SequentialArithmetic(Arithmetic):
    """Computes one run after another, by the same functions as a run alone; for a CPU, where no launch is saved."""

    def __init__(self, tasks: Sequence[EmotionTask], weights: SharedWeights, *, train: Loaders, val: Loaders) -> None:
        super().__init__(tasks, weights, train=train, val=val)
        self.failures = [""] * len(self.tasks)
        for task in self.tasks:
            task.train()

    def train_step(self, rows: Sequence[list[int]], keys: Sequence[Sequence[int]]) -> None:
        """Compute the gradients of a batch of each run."""
        for run, (task, run_rows) in enumerate(zip(self.tasks, rows, strict=True)):
            if not run_rows or self.failures[run]:
                continue
            seed_generators(keys[run], device=self.device)
            try:
                task.training_step(self.train_data.of_one_run(run, run_rows), 0).backward()  # type: ignore[no-untyped-call]
            except InputError as error:  # the loss is not finite
                self.failures[run] = str(error)

    def train_values(self) -> list[Values]:
        """Return the training metrics of each run since the last call."""
        return [
            failure or task.train_metrics.compute_and_reset("train")
            for task, failure in zip(self.tasks, self.failures, strict=True)
        ]

    def validate(self) -> list[Values]:
        """Return the validation metrics of each run."""
        return [self._validate(run) for run in range(len(self.tasks))]

    def _validate(self, run: int) -> Values:
        task = self.tasks[run]
        if self.failures[run]:
            return self.failures[run]
        loader = self.val[run]
        try:
            with (
                torch.no_grad(),
                evaluation_batches(task.model, loader, evaluation=task.evaluation, device=self.device),
            ):
                for index, rows in enumerate(batches_of(loader)):
                    task.validation_step(self.val_data.of_one_run(run, rows), index)
        except InputError as error:
            self.failures[run] = str(error)
            return str(error)
        return task.val_metrics.compute_and_reset("val")


class BatchedArithmetic(Arithmetic):
    """Computes all runs in the same operations.

    Args:
        tasks: as of :class:`Arithmetic`, like the next arguments
        weights: weights of the networks
        train: training batches of each run
        val: validation batches of each run
        compiled: compile the training step

    Raises:
        NotStackableError: a network or a loss has no stacked form

    """

    def __init__(
        self, tasks: Sequence[EmotionTask], weights: SharedWeights, *, train: Loaders, val: Loaders, compiled: bool
    ) -> None:
        super().__init__(tasks, weights, train=train, val=val)
        runs = len(self.tasks)
        self.clips = Clips(runs=runs)
        self.network = stack_networks(weights, self.clips)
        frozen = {name for name, module in tasks[0].model.named_modules() if module in tasks[0].frozen}
        self.frozen = [module for name, module in self.network.named_modules() if name in frozen]
        self.generators = [torch.Generator(self.device) for _ in range(runs)]
        self.classes = int(tasks[0].train_metrics.confusion.num_classes)
        losses = [task.loss for task in tasks]
        if any(type(loss) is not EmotionLoss for loss in losses):
            raise NotStackableError(f"{type(losses[0]).__name__} has no stacked form")
        like = weights.values
        self.smoothing = like.new_tensor([loss.label_smoothing for loss in losses])[:, None, None]
        self.class_weights: Tensor | None = None
        if any(loss.weights is not None for loss in losses):
            ones = like.new_ones(self.classes)
            self.class_weights = torch.stack([ones if x.weights is None else x.weights.to(like) for x in losses])
        self._reset()
        self.compiled: CompiledLosses | None = None
        if compiled and not getattr(members_of(tasks[0].model)[0], "masked", True):
            log.info("the step is not compiled: with model.masked=false the results depend on the padding")
        elif compiled:
            lengths = [cast(BatchSampler, loader.batch_sampler).lengths.max() for loader in train]
            size = max(len(rows) for loader in train for rows in batches_of(loader))
            self.compiled = CompiledLosses(
                self._losses, clips=self.clips, size=size, longest=int(max(lengths)), device=self.device
            )

    def train_step(self, rows: Sequence[list[int]], keys: Sequence[Sequence[int]]) -> None:
        """Compute the gradients of a batch of each run."""
        batch = self.train_data.of_all_runs(rows)
        for generator, key in zip(self.generators, keys, strict=True):
            generator.manual_seed(torch_seed(key))
        self.network.train()
        set_frozen_mode(self.frozen)
        self.clips.describe(batch, generators=self.generators)
        if self.compiled is None:
            losses, logits = self._losses(batch)
        else:
            batch, losses, logits = self.compiled(batch)
        self._record(batch, losses.detach().mean(0), logits.detach())
        self.weights.backward(losses.sum())

    def train_values(self) -> list[Values]:
        """Return the training metrics of each run since the last call."""
        return self._values("train")

    @torch.no_grad()
    def validate(self) -> list[Values]:
        """Return the validation metrics of each run."""
        evaluation = self.tasks[0].evaluation
        if evaluation.update_statistics and not evaluation.training_mode:
            self._seed_evaluation()
            self.network.train()
            for batch in self._val_batches():
                self.clips.describe(batch, generators=self.generators)
                self.network(batch.features, batch.lengths)
        buffers = [(task.model, {n: b.clone() for n, b in task.model.named_buffers()}) for task in self.tasks]
        self.network.train(evaluation.training_mode)
        self._seed_evaluation()
        for batch in self._val_batches():
            self.clips.describe(batch, generators=self.generators)
            losses, logits = self._losses(batch, plain=True)
            self._record(batch, losses[0], logits)
        if evaluation.training_mode and not evaluation.update_statistics:
            for model, before in buffers:
                for name, buffer in model.named_buffers():
                    buffer.copy_(before[name])
        return self._values("val")

    def _val_batches(self) -> list[FoldedBatch]:
        """Return the validation batches of all runs."""
        batches = [batches_of(loader) for loader in self.val]
        count = max(map(len, batches))
        return [
            self.val_data.of_all_runs([run_batches[i] if i < len(run_batches) else [] for run_batches in batches])
            for i in range(count)
        ]

    def _seed_evaluation(self) -> None:
        """Seed the dropout masks of an evaluation in training mode as :func:`evaluation_batches` does."""
        for generator in self.generators:
            generator.manual_seed(DRAW)
            if self.device.type == "cpu":
                torch.empty((), dtype=torch.int64).random_(generator=generator)  # alone, the data loader draws it

    def _losses(self, batch: FoldedBatch, *, plain: bool = False) -> tuple[Tensor, Tensor]:
        """Return the mean losses of each run (networks, R) and the logits (R, B, classes).

        Args:
            batch: the batch, which :attr:`clips` describes
            plain: one loss for the networks of an ensemble together, without class weights and label smoothing

        """
        each = [by_run(m(batch.features, batch.lengths), self.clips.runs) for m in members_of(self.network)]
        logits = mean_logits(each)
        losses = [self._loss(x, batch, plain=plain) for x in ([logits] if plain else each)]
        return torch.stack(losses), logits

    def _loss(self, logits: Tensor, batch: FoldedBatch, *, plain: bool) -> Tensor:
        """Return the mean loss of each run, (R,)."""
        shares = F.one_hot(batch.target, self.classes).to(logits) if batch.shares is None else batch.shares
        if not plain:
            shares = (1 - self.smoothing) * shares + self.smoothing / self.classes
            if self.class_weights is not None:
                shares = shares * self.class_weights[:, None]
        each = -(logits.log_softmax(-1) * shares).sum(-1)  # (R, B)
        return torch.where(batch.real, each, 0.0).sum(1) / batch.real.sum(1).clamp(min=1)

    def _reset(self) -> None:
        runs, like = self.clips.runs, self.weights.values
        self.confusion = like.new_zeros(runs, self.classes, self.classes)
        self.loss_sum, self.count = like.new_zeros(runs), [0] * runs

    def _record(self, batch: FoldedBatch, losses: Tensor, logits: Tensor) -> None:
        """Add a batch to the metrics."""
        true = F.one_hot(batch.target, self.classes).to(logits) * batch.real[:, :, None]
        predicted = F.one_hot(logits.argmax(-1), self.classes).to(logits)
        self.confusion += true.transpose(1, 2) @ predicted
        self.loss_sum += losses * batch.real.sum(1)
        self.count = [before + size for before, size in zip(self.count, batch.sizes, strict=True)]

    def _values(self, subset: str) -> list[Values]:
        """Return the metrics of each run and reset them."""
        confusions = self.confusion.cpu().long().numpy()
        totals = self.loss_sum.tolist()
        means = [total / max(1, count) for total, count in zip(totals, self.count, strict=True)]
        self._reset()
        return [
            epoch_values(subset, confusion, loss)
            if torch.isfinite(torch.tensor(loss))
            else describe_divergence(loss, epoch=len(task.history.epochs))
            for task, confusion, loss in zip(self.tasks, confusions, means, strict=True)
        ]
