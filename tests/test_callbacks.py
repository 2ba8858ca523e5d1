"""Training with Lightning's own callbacks."""

import csv
import json

import pytest
import torch

from ser_lightning.task import EmotionTask
from tests.cli.test_resume import stop

BATCHES = 5


def run(command, small, root, *words: str) -> dict:
    done = command("train", *line(small, root, *words))
    assert done.code == 0, done.err
    return json.loads((root / "corrected" / "run" / "result.json").read_text())


def line(small, root, *words: str) -> list[str]:
    return ["experiment=corrected", *small, "trainer.accelerator=cpu", f"output_root={root}", "run_id=run", *words]


def logged(root) -> list[dict]:
    return list(csv.DictReader((root / "corrected" / "run" / "csv" / "metrics.csv").read_text().splitlines()))


def test_early_stopping_ends_training(command, small, tmp_path):
    words = ["callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=1", "trainer.max_epochs=8"]
    # No epoch can improve by this min_delta.
    result = run(command, small, tmp_path, *words, "callbacks.early_stopping.min_delta=9")
    assert result["epochs"] == 2


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_learning_rate_monitor_logs_the_schedule(command, small, tmp_path, interval):
    words = [
        "callbacks=[default,learning_rate_monitor]",
        f"callbacks.learning_rate_monitor.logging_interval={interval}",
    ]
    schedule = ["scheduler=warmup_cosine", "trainer.log_every_n_steps=1", "logger=csv", "optim=sgd"]
    run(command, small, tmp_path, *words, *schedule)
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


def test_learning_rate_finder_sets_the_learning_rate(command, small, tmp_path):
    words = ["callbacks=[default,learning_rate_finder]", "callbacks.learning_rate_finder.num_training_steps=30"]
    words += ["trainer.max_epochs=7"]  # the learning rate search uses steps of these epochs
    result = run(command, small, tmp_path, *words)
    (rate,) = set(result["history"]["train/learning_rate"])
    assert rate != 0.001
    assert 1e-6 <= rate <= 0.1
    assert result["epochs"] == 7
    assert result["steps"] == 7 * BATCHES
    done = command("train", *line(small, tmp_path / "other", *words, "scheduler=warmup_cosine"))
    assert done.code == 1
    assert "scheduler=none" in done.err


def test_weight_averaging_changes_the_last_checkpoint(command, small, tmp_path):
    words = ["callbacks=[default,weight_averaging]", "callbacks.weight_averaging.swa_epoch_start=1", "checkpoint=last"]
    result = run(command, small, tmp_path, *words, "trainer.max_epochs=5", "optim.lr=0.01")
    plain = run(command, small, tmp_path / "plain", "trainer.max_epochs=5", "optim.lr=0.01", "checkpoint=last")
    weights, other = (
        torch.load(root / "corrected" / "run" / "checkpoints" / "last.ckpt", weights_only=True)
        for root in (tmp_path, tmp_path / "plain")
    )
    name = "model.classifier.7.weight"
    assert name in weights["state_dict"]
    assert not torch.equal(weights["state_dict"][name], other["state_dict"][name])
    assert weights["resume"]["finished"]
    assert result["metrics"] != plain["metrics"]


def test_weight_averaging_resumes(command, small, tmp_path):
    words = ["callbacks=[default,weight_averaging]", "callbacks.weight_averaging.swa_epoch_start=1", "checkpoint=last"]
    words += ["trainer.max_epochs=4", "optim.lr=0.01"]
    whole = run(command, small, tmp_path / "whole", *words)
    stop(line(small, tmp_path, *words), EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == 3)
    again = run(command, small, tmp_path, *words)
    for key in ("metrics", "history", "confusion_matrix", "epochs"):
        assert again[key] == whole[key]


def test_device_stats_are_logged(command, small, tmp_path):
    pytest.importorskip("psutil")
    run(command, small, tmp_path, "callbacks=[default,device_stats]", "trainer.log_every_n_steps=2", "logger=csv")
    assert any(name.startswith("DeviceStatsMonitor") for name in logged(tmp_path)[0])


@pytest.mark.parametrize("scheduler", ["warmup_cosine", "one_cycle"])
def test_step_schedules_resume_exactly(command, small, tmp_path, scheduler):
    words = [f"scheduler={scheduler}", "trainer.max_epochs=4"]
    whole = run(command, small, tmp_path / "whole", *words)
    stop(line(small, tmp_path, *words), EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == 2)
    again = run(command, small, tmp_path, *words)
    for key in ("metrics", "history", "confusion_matrix"):
        assert again[key] == whole[key]
    assert len(set(whole["history"]["train/learning_rate"])) == 4


def test_unknown_monitor_is_refused(command, small, tmp_path):
    words = ["callbacks=[default,early_stopping]", "callbacks.early_stopping.monitor=val/usr"]
    done = command("train", *line(small, tmp_path / "out", *words))
    assert done.code == 1
    assert "callbacks.early_stopping.monitor" in done.err
    assert "val/uar" in done.err
