import os
import signal
import sys

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from ser_lightning.callbacks.requeue import Requeue

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="has no SIGUSR1"),
    # Lightning warns because these tests do not use the settings of a run.
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),
]
SLURM = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train"} | {
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_JOB_NODELIST": "localhost",
}


class Line(pl.LightningModule):
    """A linear model with one input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Signal(pl.Callback):
    """Send the signal inside a hook and record whether it was handled there."""

    def __init__(self, hook, asked) -> None:
        self.asked, self.inside = asked, []
        setattr(self, hook, self.send)

    def send(self, *_) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        self.inside.append(self.asked.exists())


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return the file in which a fake scontrol records its calls."""
    path = tmp_path / "asked"
    fake = tmp_path / "bin" / "scontrol"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {path}\n')
    fake.chmod(0o755)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    return path


def fit(folder, *callbacks, epochs=2):
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 1)))
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        logger=TensorBoardLogger(folder, name=None, version=""),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(Line(), data)


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_train_epoch_start", "on_train_epoch_end"])
def test_requeue_is_deferred_until_after_the_hook(hook, asked, tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    sender = Signal(hook, asked)
    fit(tmp_path / "run", sender, Requeue(), epochs=1)
    assert not sender.inside[0]
    assert set(asked.read_text().splitlines()) == {"requeue 77"}
    assert signal.getsignal(signal.SIGUSR1) == before


def test_requeue_does_not_deadlock_with_tensorboard_lock(asked, tmp_path):
    class Writing(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            # As during a flush: Lightning's own handler would deadlock on the lock that this process holds.
            with trainer.logger.experiment._get_file_writer().event_writer._async_writer._lock:
                os.kill(os.getpid(), signal.SIGUSR1)

    fit(tmp_path / "run", Writing(), Requeue())
    assert asked.read_text().splitlines() == ["requeue 77"] * 2


def test_no_signal_handler_is_installed_without_slurm(tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    callback = Requeue()
    fit(tmp_path / "run", callback)
    assert callback.answer is None
    assert signal.getsignal(signal.SIGUSR1) == before
