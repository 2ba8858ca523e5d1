"""Build optimizers and learning rate schedulers, including a schedule that torch lacks."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from ser_lightning.build import build
from ser_lightning.errors import InputError, check_value

AUTO = "auto"  # placeholder for the total number of scheduler steps in training
INTERVALS = ("epoch", "step")
MakeOptimizer = Callable[[Iterable[nn.Parameter] | list[dict[str, Any]]], Optimizer]


class WarmupCosine(LambdaLR):
    """Linear warm-up followed by cosine decay to a fraction of the learning rate.

    Args:
        optimizer: optimizer whose learning rate is scheduled
        total_steps: number of scheduler steps in the whole training
        warmup: fraction of the steps used for warm-up, in [0, 1)
        final: fraction of the learning rate at the end, in [0, 1]

    Raises:
        ValueError: a value is out of range

    >>> import torch
    >>> parameter = torch.nn.Parameter(torch.zeros(1))
    >>> schedule = WarmupCosine(torch.optim.SGD([parameter], lr=1.0), total_steps=10, warmup=0.2, final=0.0)
    >>> [round(schedule.lr_lambdas[0](step), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]

    """

    def __init__(self, optimizer: Optimizer, *, total_steps: int, warmup: float, final: float) -> None:
        if total_steps < 1:
            raise ValueError(f"total_steps is {total_steps}; expected at least 1")
        if not 0 <= warmup < 1 or not 0 <= final <= 1:
            raise ValueError(f"warmup is {warmup} and final {final}; expected shares, the warm-up below 1")
        rising = round(warmup * total_steps)

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            progress = min(1.0, (step - rising) / max(1, total_steps - rising))
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

        super().__init__(optimizer, factor)


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerConfig:
    """A learning rate scheduler and when Lightning steps it.

    Args:
        make: builds the scheduler from an optimizer
        totals: names of arguments that are set to the total number of scheduler steps
        interval: unit of the scheduler's steps
        frequency: number of intervals between two steps of the scheduler
        monitor: logged value that a ``ReduceLROnPlateau`` follows; ``None`` for other schedulers

    """

    make: Callable[..., LRScheduler]
    totals: tuple[str, ...]
    interval: Literal["epoch", "step"]
    frequency: int
    monitor: str | None

    def build(self, optimizer: Optimizer, *, intervals: int) -> LRScheduler:
        """Build the scheduler of an optimizer.

        Args:
            optimizer: optimizer whose learning rate is scheduled
            intervals: number of steps or epochs in the whole training

        """
        total = max(1, intervals // self.frequency)
        return self.make(optimizer, **dict.fromkeys(self.totals, total))


def split_scheduler_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the section ``scheduler`` of a config into the arguments of the class and the settings for Lightning.

    Raises:
        InputError: ``interval`` or ``frequency`` is invalid

    """
    ours = {
        key: config.get(key, default) for key, default in (("interval", "epoch"), ("frequency", 1), ("monitor", None))
    }
    interval, frequency = ours["interval"], ours["frequency"]
    check_value("scheduler.interval", interval, valid=interval in INTERVALS, expected=" or ".join(INTERVALS))
    valid = type(frequency) is int and frequency >= 1
    check_value("scheduler.frequency", frequency, valid=valid, expected="a whole number of at least 1")
    arguments = {key: value for key, value in config.items() if key not in ours}
    ours["totals"] = tuple(key for key, value in arguments.items() if value == AUTO)
    return {key: value for key, value in arguments.items() if value != AUTO}, ours


def check_scheduler(config: SchedulerConfig, optimizer: Optimizer) -> None:
    """Build a scheduler on a trial optimizer, so that invalid arguments are reported before any work.

    Raises:
        InputError: the class rejects its arguments, or a plateau scheduler has no monitor or steps per batch

    """
    try:
        built = config.build(optimizer, intervals=100)
    except (TypeError, ValueError) as error:
        raise InputError(f"scheduler: {error}") from error
    if isinstance(built, ReduceLROnPlateau) and config.monitor is None:
        raise InputError("scheduler.monitor is missing; ReduceLROnPlateau follows a logged value such as train/loss")
    if isinstance(built, ReduceLROnPlateau) and config.interval == "step":
        raise InputError("scheduler.interval is 'step'; expected epoch: the values a plateau follows are of epochs")


def build_optimizer(config: Mapping[str, Any], model: nn.Module) -> MakeOptimizer:
    """Build the part ``optim`` of a config.

    Raises:
        InputError: the optimizer rejects one of its values

    """
    make: MakeOptimizer = build("optim", config["optim"], trust=config.get("trust", ()))
    try:
        make(model.parameters())  # built once here, so that invalid options are reported before any work
    except (TypeError, ValueError) as error:
        raise InputError(f"optim: {error}") from error
    return make


def build_scheduler(config: Mapping[str, Any], trial: Optimizer) -> SchedulerConfig | None:
    """Build the part ``scheduler`` of a config; None for a constant learning rate.

    Args:
        config: resolved config of the run
        trial: an optimizer on which the scheduler is tried, so that invalid values are reported before any work

    Raises:
        InputError: the scheduler rejects one of its values

    """
    arguments, ours = split_scheduler_config(config["scheduler"])
    if not arguments:
        return None
    scheduler = SchedulerConfig(make=build("scheduler", arguments, trust=config.get("trust", ())), **ours)
    check_scheduler(scheduler, trial)
    return scheduler
