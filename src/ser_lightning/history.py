"""Logged values of the epochs of a training."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

LEARNING_RATE = "train/learning_rate"


class History:
    """Logged values of the epochs of a training; ``epochs`` has the number of the last step and the values of each."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.current: dict[str, float] = {}  # logged values of the current epoch

    def begin_epoch(self, *, lr: float) -> None:
        """Start the values of an epoch with its learning rate."""
        self.current = {LEARNING_RATE: lr}

    def end_epoch(self, values: Mapping[str, float], *, step: int) -> dict[str, float]:
        """Add the epoch and return the values to log.

        Args:
            values: training metrics by the names under which they are logged
            step: number of the last optimizer step of the epoch, counted from 0

        """
        self.current |= values
        self.epochs.append({"step": step, "values": dict(self.current)})
        return {**values, LEARNING_RATE: self.current[LEARNING_RATE]}

    def curves(self) -> dict[str, list[float]]:
        """Return name -> logged values of the epochs that have it."""
        curves: dict[str, list[float]] = defaultdict(list)
        for epoch in self.epochs:
            for name, value in epoch["values"].items():
                curves[name].append(value)
        return dict(curves)
