"""Training with Lightning's own callbacks."""

import csv
import json

import pytest
import torch

from ser_lightning.task import EmotionTask
from tests.cli.test_resume import stop

BATCHES = 5


def run(succeed, small, root, *words: str) -> dict:
    succeed("train", *line(small, root, *words))
    return json.loads((root / "corrected" / "run" / "result.json").read_text())


def line(small, root, *words: str) -> list[str]:
    return ["experiment=corrected", *small, f"output_root={root}", "run_id=run", *words]


def logged(root) -> list[dict]:
    return list(csv.DictReader((root / "corrected" / "run" / "csv" / "metrics.csv").read_text().splitlines()))


def test_early_stopping_ends_training(succeed, small, tmp_path):
    words = ["callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=1", "trainer.max_epochs=8"]
    # No epoch can improve by this min_delta.
    result = run(succeed, small, tmp_path, *words, "callbacks.early_stopping.min_delta=9")
    assert result["epochs"] == 2


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.slow
def test_learning_rate_monitor_logs_the_schedule(succeed, small, tmp_path, interval):
    words = [
        "callbacks=[default,learning_rate_monitor]",
        f"callbacks.learning_rate_monitor.logging_interval={interval}",
    ]
    schedule = ["scheduler=warmup_cosine", "trainer.log_every_n_steps=1", "logger=csv", "optim=sgd"]
    run(succeed, small, tmp_path, *words, *schedule)
    rates = [float(row["lr-SGD"]) for row in logged(tmp_path) if row["lr-SGD"]]
    total = 2 * BATCHES
    expected = [0.01 * rate for rate in _warmup_cosine(total)]
    assert rates == pytest.approx(expected if interval == "step" else expected[::BATCHES])


def _warmup_cosine(total: int) -> list[float]:
    from math import cos, pi

    rising = round(0.1 * total)
    return [
        (step + 1) / rising if step < rising else (1 + cos(pi * (step - rising) / (total - rising))) / 2
        for step in range(total)
    ]


@pytest.mark.slow
def test_learning_rate_finder_sets_the_learning_rate(command, succeed, small, tmp_path):
    words = ["callbacks=[default,learning_rate_finder]", "callbacks.learning_rate_finder.num_training_steps=30"]
    words += ["trainer.max_epochs=7"]  # the learning rate search uses steps of these epochs
    result = run(succeed, small, tmp_path, *words)
    (rate,) = set(result["history"]["train/learning_rate"])
    assert rate != 0.001
    assert 1e-6 <= rate <= 0.1
    assert result["epochs"] == 7
    assert result["steps"] == 7 * BATCHES
    done = command("train", *line(small, tmp_path / "other", *words, "scheduler=warmup_cosine"))
    assert done.code == 1
    assert "scheduler=none" in done.err


def test_weight_averaging_saves_the_mean_of_the_epochs(succeed, small, tmp_path, monkeypatch):
    """Lightning averages the weights at the start of each epoch from ``swa_epoch_start``, counted from 1."""
    name, found = "model.classifier.7.weight", {}
    start = EmotionTask.on_train_epoch_start

    def record(task: EmotionTask) -> None:
        found[task.current_epoch] = task.state_dict()[name].clone()
        start(task)

    monkeypatch.setattr(EmotionTask, "on_train_epoch_start", record)
    words = ["callbacks=[default,weight_averaging]", "callbacks.weight_averaging.swa_epoch_start=2", "checkpoint=last"]
    run(succeed, small, tmp_path, *words, "trainer.max_epochs=5", "optim.lr=0.01")
    saved = torch.load(tmp_path / "corrected" / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    averaged = torch.stack([found[epoch] for epoch in range(1, 5)])
    torch.testing.assert_close(saved["state_dict"][name], averaged.mean(0))
    assert averaged.std(0).max() > 1e-3  # the weights of the epochs differ
    assert saved["resume"]["finished"]


@pytest.mark.slow
def test_weight_averaging_resumes(succeed, small, tmp_path):
    words = ["callbacks=[default,weight_averaging]", "callbacks.weight_averaging.swa_epoch_start=1", "checkpoint=last"]
    words += ["trainer.max_epochs=4", "optim.lr=0.01"]
    uninterrupted = run(succeed, small, tmp_path / "uninterrupted", *words)
    stop(line(small, tmp_path, *words), EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == 3)
    again = run(succeed, small, tmp_path, *words)
    for key in ("metrics", "history", "confusion_matrix", "epochs"):
        assert again[key] == uninterrupted[key]


def test_device_stats_are_logged(succeed, small, tmp_path):
    pytest.importorskip("psutil")
    run(succeed, small, tmp_path, "callbacks=[default,device_stats]", "trainer.log_every_n_steps=2", "logger=csv")
    assert any(name.startswith("DeviceStatsMonitor") for name in logged(tmp_path)[0])


@pytest.mark.parametrize("scheduler", ["warmup_cosine", "one_cycle"])
@pytest.mark.slow
def test_step_schedules_resume_exactly(succeed, small, tmp_path, scheduler):
    words = [f"scheduler={scheduler}", "trainer.max_epochs=4"]
    uninterrupted = run(succeed, small, tmp_path / "uninterrupted", *words)
    stop(line(small, tmp_path, *words), EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == 2)
    again = run(succeed, small, tmp_path, *words)
    for key in ("metrics", "history", "confusion_matrix"):
        assert again[key] == uninterrupted[key]
    assert len(set(uninterrupted["history"]["train/learning_rate"])) == 4
