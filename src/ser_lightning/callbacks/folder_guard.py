"""End a run whose folder is removed, and leave no folder of a run that could not begin."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl

from ser_lightning.errors import InputError, shown

# What a run writes to its folder before its first checkpoint.
BEGINNINGS = (".hydra", "checkpoints", "split.csv", "tensorboard", "train.log")


class FolderGuard(pl.Callback):
    """Raise if the folder of a run is removed while the run writes it.

    Args:
        folder: of the run; it exists

    """

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self.identity = self._identify()

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self.folder.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @property
    def kept(self) -> bool:
        """Whether the folder is the one that the run began in."""
        return self._identify() == self.identity

    def check(self) -> None:
        """Check that the folder is still there.

        Raises:
            InputError: it was removed

        """
        if not self.kept:
            raise InputError(
                f"{shown(self.folder)} was removed while the run was writing it; rerun the same command to begin anew"
            )

    @contextmanager
    def quiet_threads(self) -> Iterator[None]:
        """Print no error of a thread, such as the one that writes TensorBoard's files, once the folder is removed."""
        before = threading.excepthook

        def hook(raised: threading.ExceptHookArgs) -> None:
            if self.kept or not isinstance(raised.exc_value, OSError):
                before(raised)

        threading.excepthook = hook
        try:
            yield
        finally:
            threading.excepthook = before

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before an epoch."""
        self.check()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before the best checkpoint is written: Lightning calls callbacks that write checkpoints last."""
        self.check()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before the last checkpoint is written."""
        self.check()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before the result is written."""
        self.check()

    def discard_beginnings(self) -> None:
        """Remove what a run that failed wrote, if it has no checkpoint to go on from and no result."""
        if (self.folder / "result.json").exists() or any(self.folder.glob("checkpoints/*.ckpt")):
            return
        for name in BEGINNINGS:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def discard_remade(self) -> None:
        """Remove the folder that was made again by writing to it after it was removed; not one of another run."""
        if not self.kept and not (self.folder / ".lock").exists() and not (self.folder / "result.json").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
