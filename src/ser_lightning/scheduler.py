"""Learning rate schedules that torch does not have, and what a schedule needs beside its class."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from ser_lightning.errors import InputError

AUTO = "auto"  # stands for the number of steps (or epochs) of the whole training
INTERVALS = ("epoch", "step")


class WarmupCosine(LambdaLR):
    """Linear warm-up from 0, then half a cosine down to a share of the learning rate.

    Args:
        optimizer: whose learning rate is scheduled
        total_steps: scheduler steps of the whole training
        warmup: share of the steps that the warm-up takes, at least 0 and below 1
        final: share of the learning rate that is left at the end

    Raises:
        ValueError: a number is out of its range

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
    """A learning rate schedule and when Lightning moves it.

    Args:
        make: from an optimizer to its schedule
        totals: arguments that are the number of intervals of the whole training
        interval: what counts as a step of the schedule
        frequency: intervals between two steps
        monitor: the logged value that a ``ReduceLROnPlateau`` follows; None for any other

    """

    make: Callable[..., LRScheduler]
    totals: tuple[str, ...]
    interval: Literal["epoch", "step"]
    frequency: int
    monitor: str | None

    def build(self, optimizer: Optimizer, *, intervals: int) -> LRScheduler:
        """Return the schedule of an optimizer.

        Args:
            optimizer: whose learning rate is scheduled
            intervals: steps or epochs of the whole training

        """
        total = max(1, intervals // self.frequency)
        return self.make(optimizer, **dict.fromkeys(self.totals, total))


def split_scheduler_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide ``scheduler`` of a config into the arguments of the class and what Lightning needs to know.

    Raises:
        InputError: an interval or frequency that there is not

    """
    ours = {
        key: config.get(key, default) for key, default in (("interval", "epoch"), ("frequency", 1), ("monitor", None))
    }
    if ours["interval"] not in INTERVALS:
        raise InputError(f"scheduler.interval is {ours['interval']!r}; expected epoch or step")
    if type(ours["frequency"]) is not int or ours["frequency"] < 1:
        raise InputError(f"scheduler.frequency is {ours['frequency']!r}; expected a whole number of at least 1")
    arguments = {key: value for key, value in config.items() if key not in ours}
    ours["totals"] = tuple(key for key, value in arguments.items() if value == AUTO)
    return {key: value for key, value in arguments.items() if value != AUTO}, ours


def check_scheduler(config: SchedulerConfig, optimizer: Optimizer) -> None:
    """Build a schedule on a trial optimizer, so that what it refuses is known before any work.

    Raises:
        InputError: the class refuses its arguments, or a plateau has no value to follow

    """
    try:
        built = config.build(optimizer, intervals=100)
    except (TypeError, ValueError) as error:
        raise InputError(f"scheduler: {error}") from error
    if isinstance(built, ReduceLROnPlateau) and config.monitor is None:
        raise InputError("scheduler.monitor is missing; ReduceLROnPlateau follows a logged value such as train/loss")
    if isinstance(built, ReduceLROnPlateau) and config.interval == "step":
        raise InputError("scheduler.interval is 'step'; expected epoch: the values a plateau follows are of epochs")
