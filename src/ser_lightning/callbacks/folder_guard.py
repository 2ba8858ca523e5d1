"""Abort a run whose folder is removed, and clean up the folder of a run that could not start."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl

from ser_lightning.errors import InputError, printable

# Files and folders that a run writes before its first checkpoint.
PARTIAL_RUN = (".hydra", "checkpoints", "selection", "split.csv", "tensorboard", "train.log")


class FolderGuard(pl.Callback):
    """Raise if the folder of a run is removed while the run writes it.

    Args:
        folder: folder of the run; it must exist

    """

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self.identity = self._identify()

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = self.folder.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @property
    def is_intact(self) -> bool:
        """True while the folder is the one in which the run started."""
        return self._identify() == self.identity

    def check(self) -> None:
        """Check that the folder has not been removed.

        Raises:
            InputError: the folder was removed

        """
        if not self.is_intact:
            raise InputError(
                f"{printable(self.folder)} was removed while the run was writing it; rerun the same command to start"
                " again"
            )

    @contextmanager
    def quiet_threads(self) -> Iterator[None]:
        """Print no error of a thread, such as the one that writes TensorBoard's files, once the folder is removed."""
        before = threading.excepthook

        def hook(raised: threading.ExceptHookArgs) -> None:
            if self.is_intact or not isinstance(raised.exc_value, OSError):
                before(raised)

        threading.excepthook = hook
        try:
            yield
        finally:
            threading.excepthook = before

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before each epoch."""
        self.check()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before the best checkpoint is written; Lightning calls checkpoint callbacks last."""
        self.check()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before the last checkpoint is written."""
        self.check()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before the result is written."""
        self.check()

    def remove_partial_run(self) -> None:
        """Remove the files of a failed run that has neither a checkpoint to resume from nor a result."""
        valuable = ("result.json", "checkpoints/*.ckpt", "selection/checkpoints/*.ckpt")
        if any(any(self.folder.glob(pattern)) for pattern in valuable):
            return
        for name in PARTIAL_RUN:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def remove_recreated_folder(self) -> None:
        """Remove a folder that was recreated by a write after its removal, unless another run uses it."""
        if not self.is_intact and not (self.folder / ".lock").exists() and not (self.folder / "result.json").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
