"""Loggers, alone and combined."""

import csv
import json
import sqlite3

import pytest

EPOCHS = 2


def run(command, small, root, loggers: str) -> tuple[dict, object]:
    words = ["experiment=corrected", *small, f"trainer.max_epochs={EPOCHS}", f"output_root={root}", "run_id=run"]
    done = command("train", *words, f"logger={loggers}")
    assert done.code == 0, done.err
    folder = root / "corrected" / "run"
    return json.loads((folder / "result.json").read_text()), folder


def test_csv_logger_records_every_epoch(command, small, tmp_path):
    result, folder = run(command, small, tmp_path, "[tensorboard,csv]")
    assert list((folder / "tensorboard").glob("events*"))
    rows = list(csv.DictReader((folder / "csv" / "metrics.csv").read_text().splitlines()))
    for name, values in result["history"].items():
        logged = [float(row[name]) for row in rows if row[name]]
        assert logged == pytest.approx(values)
    final = [float(row["when_done/test_uar"]) for row in rows if row["when_done/test_uar"]]
    assert final == [pytest.approx(result["metrics"]["test"]["uar"])]


def test_mlflow_logger_records_every_epoch_locally(command, small, tmp_path):
    pytest.importorskip("mlflow")
    result, folder = run(command, small, tmp_path, "[csv,mlflow]")
    assert (folder / "csv" / "metrics.csv").is_file()
    with sqlite3.connect(folder / "mlflow" / "mlflow.db") as database:
        rows = database.execute("select key, value, step from metrics order by step").fetchall()
        parameters = dict(database.execute("select key, value from params").fetchall())
    for name, values in result["history"].items():
        assert [value for key, value, _ in rows if key == name] == pytest.approx(values)
    assert parameters["dropout.p"] == "0.25"
    assert list((folder / "mlflow").rglob("confusion_matrix.png"))


def test_wandb_logger_works_offline(command, small, tmp_path):
    pytest.importorskip("wandb")
    _, folder = run(command, small, tmp_path, "wandb")
    (file,) = (folder / "wandb").rglob("*.wandb")
    content = file.read_bytes()
    for name in (b"val/uar", b"train/loss", b"when_done/test_uar", b"dropout.p"):
        assert name in content


def test_training_without_loggers(command, small, tmp_path):
    result, folder = run(command, small, tmp_path, "[]")
    assert len(result["history"]["val/uar"]) == EPOCHS
    assert not (folder / "tensorboard").exists()


def test_unknown_logger_raises_with_suggestion(command, small, tmp_path):
    done = command("train", *small, f"output_root={tmp_path}/out", "logger=[tensorbord]")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "tensorbord" in line
    assert "tensorboard" in line.replace("tensorbord", "")
