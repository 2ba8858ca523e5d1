"""How checkpoints reach the disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning_fabric.utilities.types import _PATH

from ser_lightning.atomic import write_atomically
from ser_lightning.checkpoint import load_plain, previous


class SafeCheckpointIO(CheckpointIO):
    """Write under a temporary name, sync, rename, and keep what last.ckpt was before; read plain types alone."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: object = None) -> None:
        """Write a checkpoint."""
        path = Path(path)
        with write_atomically(path, "wb", keep=previous(path) if path.stem == "last" else None) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: _PATH, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, onto the CPU: Lightning moves it."""
        checkpoint: dict[str, Any] = load_plain(Path(path))
        return checkpoint

    def remove_checkpoint(self, path: _PATH) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)
