"""Features with one vector per clip in train, predict, features and TensorBoard."""

import csv
import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.conftest import without_calibration


@pytest.mark.slow
def test_train_predict_and_features_with_one_vector_per_clip(command, small_with_logs, synthetic_root, tmp_path):
    words = [
        "audio=kaggle",
        "features=kaggle",
        "augment=none",
        *small_with_logs,
        "trainer.max_epochs=1",
        "name=vectors",
        "run_id=a",
    ]
    assert command("train", *words, f"output_root={tmp_path}").code == 0
    run = tmp_path / "vectors" / "a"
    result = json.loads((run / "result.json").read_text())
    assert result["config"]["features"]["functionals"] == ["mean"]
    assert np.isfinite(result["metrics"]["test"]["loss"])

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert any(tag.startswith("test/") for tag in events.Tags()["audio"])
    assert "val/uar" in events.Tags()["scalars"]

    tested = [
        row for row in csv.DictReader((run / "predictions.csv").read_text().splitlines()) if row["subset"] == "test"
    ]
    (recording,) = synthetic_root.rglob(f"{tested[0]['utterance']}.*")
    table = tmp_path / "emotions.csv"
    checkpoint = without_calibration(run / "checkpoints" / "best.ckpt", tmp_path)
    words = [str(recording), "--model", str(checkpoint), "--output", str(table)]
    assert command("predict", *words).code == 0
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert row["prediction"] == tested[0]["prediction"]
    for emotion in result["emotions"]:
        assert float(row[emotion]) == pytest.approx(float(tested[0][emotion]), abs=2e-6)

    words = [str(recording), "-o", f"{tmp_path}/features", "--set", "audio=kaggle", "--set", "features=kaggle"]
    assert command("features", *words).code == 0
    assert np.load(tmp_path / "features" / f"{recording.name}.npy").shape == (1, 162)
