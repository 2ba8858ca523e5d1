"""Loggers, alone and combined."""

import csv
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator

import pytest

EPOCHS = 2


def run(succeed, small, root, loggers: str) -> tuple[dict, object]:
    words = ["experiment=corrected", *small, f"trainer.max_epochs={EPOCHS}", f"output_root={root}", "run_id=run"]
    succeed("train", *words, f"logger={loggers}")
    folder = root / "corrected" / "run"
    return json.loads((folder / "result.json").read_text()), folder


def test_csv_logger_records_every_epoch(succeed, small, tmp_path):
    result, folder = run(succeed, small, tmp_path, "[tensorboard,csv]")
    assert list((folder / "tensorboard").glob("events*"))
    rows = list(csv.DictReader((folder / "csv" / "metrics.csv").read_text().splitlines()))
    for name, values in result["history"].items():
        logged = [float(row[name]) for row in rows if row[name]]
        assert logged == pytest.approx(values)
    final = [float(row["when_done/test_uar"]) for row in rows if row["when_done/test_uar"]]
    assert final == [pytest.approx(result["metrics"]["test"]["uar"])]


@pytest.mark.slow
def test_mlflow_logger_records_every_epoch_locally(succeed, small, tmp_path):
    pytest.importorskip("mlflow")
    result, folder = run(succeed, small, tmp_path, "[csv,mlflow]")
    assert (folder / "csv" / "metrics.csv").is_file()
    with sqlite3.connect(folder / "mlflow" / "mlflow.db") as database:
        rows = database.execute("select key, value, step from metrics order by step").fetchall()
        parameters = dict(database.execute("select key, value from params").fetchall())
    for name, values in result["history"].items():
        assert [value for key, value, _ in rows if key == name] == pytest.approx(values)
    assert parameters["dropout.p"] == "0.25"
    assert list((folder / "mlflow").rglob("confusion_matrix.png"))


def wandb_records(content: bytes) -> Iterator:
    """Yield the records of an offline run of wandb: protocol buffers in the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    block, header = 32768, 7  # bytes; a chunk is a checksum (4), its length (2), its kind (1) and its bytes
    position, message = header, b""  # the file begins with a header of its own
    while position + header <= len(content):
        if block - position % block < header:  # no chunk begins in the last bytes of a block
            position += block - position % block
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        position += header + length
        message += content[position - length : position]
        if kind in (1, 4):  # the only or the last chunk of a record
            yield Record.FromString(message)
            message = b""


@pytest.mark.slow
def test_wandb_logger_records_every_epoch_offline(succeed, small, tmp_path):
    pytest.importorskip("wandb")
    result, folder = run(succeed, small, tmp_path, "wandb")
    (file,) = (folder / "wandb").rglob("*.wandb")
    logged, parameters = defaultdict(list), {}
    for record in wandb_records(file.read_bytes()):
        for item in record.history.item:
            logged["/".join(item.nested_key)].append(json.loads(item.value_json))
        parameters |= {item.key: json.loads(item.value_json) for item in record.config.update}
    for name, values in result["history"].items():
        assert logged[name] == pytest.approx(values)
    assert logged["when_done/test_uar"] == [pytest.approx(result["metrics"]["test"]["uar"])]
    assert parameters["dropout.p"] == 0.25


def test_training_without_loggers(succeed, small, tmp_path):
    result, folder = run(succeed, small, tmp_path, "[]")
    assert len(result["history"]["val/uar"]) == EPOCHS
    assert not (folder / "tensorboard").exists()


def test_unknown_logger_raises_with_suggestion(refused, small, tmp_path):
    line = refused("train", *small, f"output_root={tmp_path}/out", "logger=[tensorbord]")
    assert "tensorbord" in line
    assert "tensorboard" in line.replace("tensorbord", "")
