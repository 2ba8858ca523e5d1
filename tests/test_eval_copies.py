"""Validation and test clips evaluated with their augmented copies (``data.eval_copies``)."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch

import ser_lightning as ser
from ser_lightning.build import build
from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from tests.conftest import run_command, settings


@pytest.fixture(scope="module")
def small(small_with_logs: list[str]) -> list[str]:
    """Overrides of short runs with TensorBoard and calibration, which the tests of this module compare."""
    return small_with_logs


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """Folder of a finished run with averaged copies."""
    root = tmp_path_factory.mktemp("copies")
    words = [*small, "augment=speed", "data.eval_copies=true", f"output_root={root}", "run_id=run"]
    code, _ = run_command("train", "experiment=corrected", *words)
    assert code == 0
    return root / "corrected" / "run"


def test_probabilities_are_the_mean_over_a_clip_and_its_copies(run, synthetic_root):
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(path)
    config = checkpoint.config
    audio, augment, extract = (build(part, config[part]) for part in ("audio", "augment", "features"))
    model = rebuild_model(checkpoint, path=path)
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subset"] == "test"]
    for row in rows[:3]:
        (clip,) = synthetic_root.rglob(f"{row['utterance']}.flac")
        wave = audio.load(clip).wave
        copies = [wave, *augment(wave, utterance=row["utterance"]).values()]
        assert len(copies) == 3
        with torch.inference_mode():
            matrices = [torch.from_numpy(extract(each))[None] for each in copies]
            found = [model(matrix, torch.tensor([matrix.shape[1]])).double().softmax(1)[0] for matrix in matrices]
        expected = torch.stack(found).mean(0).tolist()
        assert expected != pytest.approx(found[0].tolist(), abs=1e-4)
        assert [float(row[label]) for label in checkpoint.emotions] == pytest.approx(expected, abs=2e-5)
        if read_checkpoint(path).calibration is None:
            classified = ser.load(path).predict(*soundfile.read(clip))
            assert list(classified.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_result_counts_each_clip_once(run, trained):
    one, other = (json.loads((folder / "result.json").read_text()) for folder in (trained, run))
    assert other["counts"]["test"] == one["counts"]["test"]
    assert np.sum(other["confusion_matrix"]["test"]) == one["counts"]["test"]


def test_evaluating_again_gives_the_same(run, command, succeed):
    done = succeed("evaluate", str(run), "--json")
    changed = command("evaluate", str(run), "--json", *settings("data.eval_copies=false"))
    assert json.loads(changed.out) != json.loads(done.out)


@pytest.mark.parametrize("words", [["augment=none"], ["augment=speed", "data.augment_first=true"]])
def test_copies_that_are_not_there_are_refused(command, small, tmp_path, words):
    done = command("train", "experiment=corrected", *small, *words, "data.eval_copies=true", f"output_root={tmp_path}")
    assert done.code == 1
    assert "data.eval_copies" in done.err
