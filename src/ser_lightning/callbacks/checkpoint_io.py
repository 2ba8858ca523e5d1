"""Write checkpoints safely to disk and read them without executing code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning_fabric.utilities.types import _PATH

from ser_lightning.atomic import write_atomically
from ser_lightning.checkpoint import load_plain, previous


class SafeCheckpointIO(CheckpointIO):
    """Write checkpoints atomically, keeping the previous ``last.ckpt``; read tensors and plain types only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: object = None) -> None:
        """Write a checkpoint; a checkpoint named ``last`` keeps its predecessor under another name."""
        path = Path(path)
        with write_atomically(path, "wb", keep=previous(path) if path.stem == "last" else None) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: _PATH, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; Lightning moves it to the device."""
        checkpoint: dict[str, Any] = load_plain(Path(path))
        return checkpoint

    def remove_checkpoint(self, path: _PATH) -> None:
        """Remove a checkpoint if it exists."""
        Path(path).unlink(missing_ok=True)
