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
    # Of Lightning, by calling it without a run's settings.
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
    """A line through two points."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Signal(pl.Callback):
    """Send the signal inside a hook, and look whether it was answered there."""

    def __init__(self, hook, asked) -> None:
        self.asked, self.inside = asked, []
        setattr(self, hook, self.send)

    def send(self, *_) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        self.inside.append(self.asked.exists())


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The file that holds what SLURM was asked."""
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
def test_the_signal_is_answered_between_two_batches_and_not_where_it_comes(hook, asked, tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    sender = Signal(hook, asked)
    fit(tmp_path / "run", sender, Requeue(), epochs=1)
    assert not sender.inside[0]
    assert set(asked.read_text().splitlines()) == {"requeue 77"}
    assert signal.getsignal(signal.SIGUSR1) == before


def test_the_signal_may_come_while_tensorboard_holds_its_lock(asked, tmp_path):
    class Writing(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            # As in a flush: Lightning's own handler would wait here for the lock that this process holds.
            with trainer.logger.experiment._get_file_writer().event_writer._async_writer._lock:
                os.kill(os.getpid(), signal.SIGUSR1)

    fit(tmp_path / "run", Writing(), Requeue())
    assert asked.read_text().splitlines() == ["requeue 77"] * 2


def test_without_slurm_the_signal_is_nobodys(tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    callback = Requeue()
    fit(tmp_path / "run", callback)
    assert callback.answer is None
    assert signal.getsignal(signal.SIGUSR1) == before
