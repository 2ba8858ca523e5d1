"""Calibration of runs: in the result, in the checkpoints, and switched off."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from tests.cli.run_files import result_of
from tests.conftest import without_calibration

from ser_lightning.calibration.calibration import Calibration
from ser_lightning.calibration.temperature import probabilities
from ser_lightning.checkpoint import complete_checkpoint, read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.predict.formats import DIGITS


def logits_of(folder: Path, subset: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the stored probabilities and the true classes."""
    table = csv.DictReader((folder / "predictions.csv").read_text().splitlines())
    rows = [row for row in table if row["subset"] == subset]
    emotions = result_of(folder)["emotions"]
    found = np.array([[float(row[emotion]) for emotion in emotions] for row in rows])
    return np.log(found), np.array([emotions.index(row["target"]) for row in rows])


def test_predictions_hold_the_probabilities_before_calibration(trained):
    result = result_of(trained)
    for subset in ("val", "test"):
        logits, target = logits_of(trained, subset)
        loss = -logits[np.arange(len(target)), target].mean()
        found = result["calibration"][subset]
        assert found["before"]["nll"] == pytest.approx(loss, abs=1e-4)
        assert found["before"]["nll"] == pytest.approx(result["metrics"][subset]["loss"])
        after = probabilities(logits, result["calibration"]["fitted"]["temperature"])
        assert found["after"]["nll"] == pytest.approx(-np.log(after[np.arange(len(target)), target]).mean(), abs=1e-4)
        assert found["reject"]["0"]["error"] == pytest.approx(1 - result["metrics"][subset]["accuracy"])


def test_validation_clips_are_described_better_after_calibration(trained):
    found = result_of(trained)["calibration"]
    assert found["fitted_on"] == "validation clips"
    assert found["fitted"]["clips"] == 9
    assert found["val"]["after"]["nll"] <= found["val"]["before"]["nll"]
    assert found["val"]["sets"]["coverage"] >= 0.9
    # Nine clips are enough for sets of 90 % coverage, but the least probable of the nine sets the bound.
    logits, target = logits_of(trained, "val")
    after = probabilities(logits, found["fitted"]["temperature"])
    assert found["fitted"]["least_probability"] == pytest.approx(after[np.arange(9), target].min(), abs=1e-4)


def test_checkpoints_hold_their_own_calibration(trained):
    result = result_of(trained)
    best, last = (read_checkpoint(trained / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert best.calibration == Calibration.from_plain(result["calibration"]["fitted"])
    same_epoch = result["checkpoints"]["best"]["epoch"] == result["checkpoints"]["last"]["epoch"]
    assert (best.calibration == last.calibration) == same_epoch


def test_calibrate_false_changes_nothing_else(command, trained, small_with_logs, tmp_path):
    words = ["experiment=corrected", *small_with_logs, f"output_root={tmp_path}", "calibrate=false"]
    assert command("train", *words).code == 0
    folder = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    result, calibrated = result_of(folder), result_of(trained)
    assert result["calibration"] == {"fitted": None, "fitted_on": None, "reason": "calibrate is false"}
    assert read_checkpoint(folder / "checkpoints" / "best.ckpt").calibration is None
    assert not (folder / "calibration.png").exists()
    assert result["metrics"] == calibrated["metrics"]
    assert result["digest"] == calibrated["digest"]
    assert (folder / "predictions.csv").read_bytes() == (trained / "predictions.csv").read_bytes()
    one, two = (torch.load(run / "checkpoints" / "best.ckpt", weights_only=True) for run in (folder, trained))
    assert all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())


def test_damaged_calibration_of_a_checkpoint_is_named(trained, tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_bytes((trained / "checkpoints" / "best.ckpt").read_bytes())
    complete_checkpoint(path, calibration={"temperature": -1})
    with pytest.raises(InputError, match=r"best.ckpt: the calibration is damaged"):
        read_checkpoint(path)


ROUNDING = 0.5 * 10.0**-DIGITS  # a clip that set a threshold is printed a little above or below it


def test_predictions_are_calibrated_and_uncertain_ones_rejected(command, trained, synthetic_root, tmp_path):
    model = trained / "checkpoints" / "best.ckpt"
    fitted = read_checkpoint(model).calibration
    words = ["predict", str(synthetic_root), "--json", "--model"]
    plain = rows_of(command(*words, str(without_calibration(model, tmp_path))))
    calibrated = rows_of(command(*words, str(model), "--reject", "0.5", "--set-size"))
    threshold = fitted.threshold(0.5)
    assert {row["prediction"] for row in calibrated} > {"unsure"}
    for before, after in zip(plain, calibrated, strict=True):
        values = np.array(list(after["probabilities"].values()))
        expected = probabilities(np.log([list(before["probabilities"].values())]), fitted.temperature)[0]
        assert values == pytest.approx(expected, abs=1e-3)
        if abs(values.max() - threshold) > ROUNDING:
            assert after["prediction"] == (before["prediction"] if values.max() > threshold else "unsure")
        sets = [
            {name for name, value in after["probabilities"].items() if value >= fitted.least_probability + rounding}
            for rounding in (ROUNDING, -ROUNDING)
        ]
        assert sets[0] <= {*after["set"]} <= sets[1] | {before["prediction"]}
        assert after["set"][0] == before["prediction"]
        assert after["set_size"] == len(after["set"])
    table = command("predict", calibrated[0]["path"], "--model", str(model), "--set-size").out
    (row,) = csv.DictReader(table.splitlines())
    assert row["set"].split("; ") == calibrated[0]["set"]
    assert int(row["set_size"]) == calibrated[0]["set_size"]


def test_recordings_unlike_the_training_clips_have_warnings(command, trained, synthetic_root, tmp_path):
    (path, *_) = sorted(synthetic_root.rglob("*.flac"))
    wave, rate = soundfile.read(path, dtype="float32")
    noise = np.random.default_rng(0).standard_normal(len(wave)) * wave.std()
    soundfile.write(tmp_path / "noisy.wav", (wave + noise) / 4, rate)
    soundfile.write(tmp_path / "telephone.wav", soxr.resample(wave, rate, 8000), 8000)
    soundfile.write(tmp_path / "long.wav", np.tile(wave, 12), rate)
    model = str(trained / "checkpoints" / "best.ckpt")
    done = command("predict", str(path), str(tmp_path), "--whole", "--json", "--model", model)
    warnings = {Path(row["path"]).name: row["warnings"] for row in rows_of(done)}
    assert warnings[path.name] == []
    for name, expected in (
        ("noisy", "signal-to-noise ratio"),
        ("telephone", "recorded at 8000 Hz"),
        ("long", "lasts "),
    ):
        assert [text.startswith(expected) for text in warnings[f"{name}.wav"]].count(True) == 1, warnings


@pytest.mark.parametrize("option", [["--reject", "0.1"], ["--set-size"]])
def test_models_that_are_not_calibrated_reject_nothing(command, trained, synthetic_root, tmp_path, option):
    model = without_calibration(trained / "checkpoints" / "best.ckpt", tmp_path)
    done = command("predict", str(synthetic_root), "--model", str(model), *option)
    assert (done.code, done.out) == (1, "")
    assert f"{option[0]} needs a calibrated model" in done.err
    wrong = command("predict", str(synthetic_root), "--model", str(model), "--reject", "1")
    assert (wrong.code, wrong.out) == (1, "")
    assert "--reject is 1.0" in wrong.err


def rows_of(done) -> list[dict]:
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]
