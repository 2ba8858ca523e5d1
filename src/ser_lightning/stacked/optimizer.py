"""Optimizers and learning rate schedules of several runs, computed in a few operations for all of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ser_lightning.fine_tuning import parameter_groups
from ser_lightning.stacked.weights import SharedWeights
from ser_lightning.task import EmotionTask

STEP_SIZES = ("lr", "weight_decay", "beta1", "beta2", "eps", "momentum")
AFTER_NORM = 1e-6  # added to the norm of the gradient, as in torch.nn.utils.clip_grad_norm_


class Schedule:
    """Optimizer settings of one run over time.

    They are read from an optimizer of torch with a single number in each of its groups, whose schedule is stepped when
    Lightning would step it.

    Args:
        task: the task of the run
        epochs: number of epochs of the schedule
        steps: number of optimizer steps in an epoch

    Attributes:
        parameters: trained parameters of the network in each group; ``lr_factors`` gives groups their own rates

    """

    def __init__(self, task: EmotionTask, *, epochs: int, steps: int) -> None:
        groups = parameter_groups(task.model.named_parameters(), lr=task.lr, factors=task.lr_factors)
        self.parameters: list[list[nn.Parameter]] = [group["params"] for group in groups]
        self.optimizer = task.make_optimizer([{**group, "params": [nn.Parameter(torch.zeros(1))]} for group in groups])
        self.config = task.scheduler
        self.scheduler = None
        if self.config is not None:
            intervals = epochs if self.config.interval == "epoch" else epochs * steps
            self.scheduler = self.config.build(self.optimizer, intervals=max(1, intervals))
            self.optimizer.step()  # has no gradient and moves nothing; the schedule expects it

    @property
    def kind(self) -> str:
        """Name of the optimizer."""
        return type(self.optimizer).__name__

    @property
    def lr(self) -> float:
        """Current learning rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def values(self) -> list[list[float]]:
        """Return the current values of :data:`STEP_SIZES` in each group; 0 for those that it does not have."""
        table = []
        for group in self.optimizer.param_groups:
            beta1, beta2 = group.get("betas", (0.0, 0.0))
            values = {**group, "beta1": beta1, "beta2": beta2}
            table.append([float(values.get(name, 0.0)) for name in STEP_SIZES])
        return table

    def after_step(self, index: int) -> None:
        """Step the schedule after an optimizer step, the number ``index`` of its epoch."""
        if self._is_due("step", index):
            self.scheduler.step()  # type: ignore[union-attr]

    def after_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Step the schedule after an epoch with its logged values."""
        if not self._is_due("epoch", epoch):
            return
        assert self.config is not None and self.scheduler is not None  # noqa: S101, PT018 - the schedule is due
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        elif self.config.monitor is not None and self.config.monitor in values:
            self.scheduler.step(float(np.float32(values[self.config.monitor])))  # Lightning keeps single precision

    def _is_due(self, interval: str, index: int) -> bool:
        config = self.config
        return config is not None and config.interval == interval and (index + 1) % config.frequency == 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer's settings and of the schedule."""
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        return {"optimizer": self.optimizer.state_dict(), "scheduler": scheduler}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])


class StackedOptimizer:
    """Adam, AdamW or SGD on the rows of common arrays, with gradients clipped by the norm of each row.

    Args:
        weights: weights and gradients of the runs, (R, P)
        schedules: settings of each run; the optimizers are of the same class
        clip: largest norm of the gradient of each run; None not to clip it

    """

    def __init__(self, weights: SharedWeights, schedules: Sequence[Schedule], *, clip: Sequence[float | None]) -> None:
        self.weights, self.schedules = weights, schedules
        like = weights.values
        self.kind = schedules[0].kind
        self.nesterov = bool(schedules[0].optimizer.param_groups[0].get("nesterov", False))
        self.first = torch.zeros_like(like)  # momentum of SGD, first moment of Adam
        self.second = torch.zeros_like(like) if self.kind != "SGD" else like.new_zeros(len(like), 0)
        self.steps = [0] * len(like)
        members = {p: group for group, parameters in enumerate(schedules[0].parameters) for p in parameters}
        groups = torch.empty(like.size(1), dtype=torch.int64)
        for name, span in weights.spans.items():
            groups[span] = members[weights.models[0].get_parameter(name)]
        self.groups = groups.to(like.device) if groups.any() else slice(1)  # (P,), or the only group
        self.clip = None
        if any(norm is not None for norm in clip):
            self.clip = like.new_tensor([math.inf if norm is None else norm for norm in clip])[:, None]

    @torch.no_grad()
    def step(self, active: Sequence[bool]) -> None:
        """Update the weights of the runs that have a batch in this step."""
        idle = [row for row, has_batch in enumerate(active) if not has_batch]
        arrays = (self.weights.values, self.first, self.second)
        unchanged = [array[idle] for array in arrays] if idle else []
        self.steps = [count + has_batch for count, has_batch in zip(self.steps, active, strict=True)]
        gradients = self.weights.gradients
        if self.clip is not None:
            norm = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
            gradients.mul_((self.clip / (norm + AFTER_NORM)).clamp(max=1.0))
        self._update(gradients)
        for array, before in zip(arrays, unchanged, strict=False):
            array[idle] = before

    def _update(self, gradients: Tensor) -> None:
        values = self.weights.values
        table = [
            [[*row, max(1, n)] for row in schedule.values()]
            for schedule, n in zip(self.schedules, self.steps, strict=True)
        ]
        columns = torch.tensor(table, dtype=torch.float64).permute(2, 0, 1)  # (settings, R, groups)
        lr, decay, beta1, beta2, eps, momentum, count = columns
        scale, root = lr / (1 - beta1**count), (1 - beta2**count).sqrt()
        # Differences from 1 are computed in double precision, where they lose no digits.
        scalars = [lr, decay, 1 - lr * decay, 1 - beta1, beta2, 1 - beta2, eps, momentum, scale, root]
        of_groups = torch.stack(scalars).to(values)
        lr, decayed, scale = (of_groups[index][:, self.groups] for index in (0, 2, 8))
        decay, new1, beta2, new2, eps, momentum, root = of_groups[[1, 3, 4, 5, 6, 7, 9], :, :1]
        if self.kind == "AdamW":
            values.mul_(decayed)
        else:
            gradients.add_(values * decay)
        if self.kind == "SGD":
            self.first.mul_(momentum).add_(gradients)
            values.sub_(lr * (gradients + momentum * self.first if self.nesterov else self.first))
            return
        self.first.add_((gradients - self.first) * new1)
        self.second.mul_(beta2).add_(gradients.square() * new2)
        values.sub_(scale * self.first / (self.second.sqrt() / root + eps))

    def state_of(self, row: int) -> dict[str, Any]:
        """Return the state of one run."""
        return {"first": self.first[row].clone(), "second": self.second[row].clone(), "steps": self.steps[row]}

    def load_state_of(self, row: int, state: Mapping[str, Any]) -> None:
        """Restore the state of one run."""
        self.first[row], self.second[row], self.steps[row] = state["first"], state["second"], state["steps"]
