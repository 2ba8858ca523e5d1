"""Checkpoints that say what they are."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from ser_lightning.checkpoint import KEY, contents


class CarryConfig(pl.Callback):
    """Write config, classes and input size into every checkpoint.

    Args:
        config: the resolved config, plain
        emotions: the classes in order
        features: rows of the model's input

    """

    def __init__(self, *, config: Mapping[str, Any], emotions: tuple[str, ...], features: int) -> None:
        self.payload = contents(config=config, emotions=emotions, features=features)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the payload."""
        checkpoint[KEY] = self.payload
