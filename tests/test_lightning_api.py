"""Finished runs work with the documented API of Lightning."""

import json

import pytest
import pytorch_lightning as pl
import torch

import ser_lightning as ser
from ser_lightning.assemble import assemble_data
from ser_lightning.callbacks.checkpoint_io import SafeCheckpointIO
from ser_lightning.errors import InputError
from ser_lightning.labels import RAVDESS
from ser_lightning.progress import show_progress
from ser_lightning.task import EmotionTask

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided.*"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`.*"),
]


@pytest.fixture(scope="module")
def best(trained):
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture
def data(trained):
    config = json.loads((trained / "result.json").read_text())["config"]
    return assemble_data(config, progress=show_progress("features"))


def trainer(tmp_path) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "use_distributed_sampler": False}
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path, **quiet)


def test_load_from_checkpoint(best):
    task = EmotionTask.load_from_checkpoint(best, weights_only=True)
    state = torch.load(best, weights_only=True)["state_dict"]
    assert not task.training
    assert all(torch.equal(value, state[name]) for name, value in task.state_dict().items())
    assert task.lr == 0.001


def test_load_from_checkpoint_requires_weights_only(best):
    with pytest.raises(InputError, match="weights_only"):
        EmotionTask.load_from_checkpoint(best, weights_only=False)


def test_trainer_test_reproduces_test_metrics(trained, best, data, tmp_path):
    task = EmotionTask.load_from_checkpoint(best)
    (found,) = trainer(tmp_path).test(task, datamodule=data, verbose=False)
    expected = json.loads((trained / "result.json").read_text())["metrics"]["test"]
    assert {name.removeprefix("test/"): value for name, value in found.items()} == pytest.approx(expected, abs=1e-6)


def test_trainer_test_with_ckpt_path(trained, best, data, tmp_path):
    last = EmotionTask.load_from_checkpoint(best.with_name("last.ckpt"))
    tested = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        plugins=[SafeCheckpointIO()],
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    (found,) = tested.test(last, datamodule=data, ckpt_path=str(best), verbose=False)
    expected = json.loads((trained / "result.json").read_text())["metrics"]["test"]
    assert found["test/uar"] == pytest.approx(expected["uar"], abs=1e-6)


def test_trainer_predict_reproduces_test_probabilities(trained, best, data, tmp_path):
    task = EmotionTask.load_from_checkpoint(best)
    batches = trainer(tmp_path).predict(task, datamodule=data)
    rows = ser.read_predictions(trained)
    expected = rows.loc[rows.subset == "test", list(RAVDESS)].to_numpy()
    assert torch.cat(batches) == pytest.approx(expected, abs=1e-6)


def test_trainer_validate_reproduces_validation_uar(trained, best, data, tmp_path):
    task = EmotionTask.load_from_checkpoint(best)
    (found,) = trainer(tmp_path).validate(task, datamodule=data, verbose=False)
    expected = json.loads((trained / "result.json").read_text())["metrics"]["val"]
    assert found["val/uar"] == pytest.approx(expected["uar"], abs=1e-6)


class Order(pl.Callback):
    """Keeps the rows of every training batch, by epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.epochs.append([])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.epochs[-1] += batch.row.tolist()


def test_order_of_training_clips_differs_between_epochs(best, data, tmp_path):
    order = Order()
    fitted = trainer(tmp_path)
    fitted.callbacks.append(order)
    fitted.fit_loop.max_epochs, fitted.limit_val_batches = 2, 0
    fitted.fit(EmotionTask.load_from_checkpoint(best).train(), datamodule=data)
    first, second = order.epochs
    assert first != second
    assert sorted(first) == sorted(second) == list(range(len(data.datasets["train"])))


def test_fit_without_datamodule_raises(best, data, tmp_path):
    data.prepare_data()
    data.setup()
    task = EmotionTask.load_from_checkpoint(best)
    with pytest.raises(InputError, match="datamodule"):
        pl.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=1
        ).fit(task, data.train_dataloader())


ADD_A_METRIC = """
import importlib, json, sys
import numpy as np
from ser_lightning import metrics

def worst_recall(confusion):
    return float(np.nanmin(metrics.recall_per_class(confusion)))

metrics.METRICS["worst"] = metrics.Metric(name="worst", title="worst recall", compute=worst_recall, sums=None)
for command, *words in json.loads(sys.argv[1]):
    sys.argv = [f"ser-{command}", *words]
    try:
        importlib.import_module(f"ser_lightning.cli.{command}").main()
    except SystemExit as ended:
        assert not ended.code, ended.code
"""


@pytest.mark.slow
def test_custom_metric_is_added_in_one_place(small, tmp_path):
    """A metric added to ``METRICS`` is logged, monitored, saved in the result and shown in the report."""
    import subprocess
    import sys

    words = ["train", "experiment=corrected", *small, f"output_root={tmp_path}", "monitor=val/worst"]
    commands = [[*words, "dropout=none"], [*words, "dropout=p25"], ["report", str(tmp_path / "corrected")]]
    call = [sys.executable, "-c", ADD_A_METRIC, json.dumps(commands)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (result, _) = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("result.json"))]
    assert len(result["history"]["val/worst"]) == 2
    assert 0 <= result["metrics"]["test"]["worst"] <= 1
    report = json.loads((tmp_path / "corrected" / "report.json").read_text())
    assert "test/worst" in json.dumps(report)
    assert "test worst recall" in (tmp_path / "corrected" / "report.md").read_text()
