"""The released weights and features, clip by clip."""

import csv
import pickle
import re

import numpy as np
import pytest
import torch
from tests.model.test_cnn_bilstm import RELEASED
from tests.parity import CORRECT, PROBABILITY_ERROR, predict
from torch import nn

from ser_lightning.emotions import RAVDESS
from ser_lightning.model.cnn_bilstm import CNNBiLSTM

THEIRS = (
    (r"convolutions\.(\d)", lambda m: f"MFCC_feature_extraction.{2 * int(m[1])}"),
    (r"lstm\.ahead\.(\w+)", r"lstm.\1"),
    (r"lstm\.back\.(\w+)", r"lstm.\1_reverse"),
    (r"classifier\.", "classify."),
)


@pytest.fixture
def weights(tmp_path):
    """A state dict under the released names."""
    torch.manual_seed(0)
    state = {}
    for name, value in CNNBiLSTM(**RELEASED).state_dict().items():
        for ours, theirs in THEIRS:
            if re.match(ours, name):
                state[re.sub(rf"^{ours}", theirs, name)] = value
    torch.save(state, tmp_path / "model.pt")
    return tmp_path / "model.pt", state


def test_import_gives_a_checkpoint_that_predicts(command, weights, synthetic_root, small, tmp_path, trained):
    path, _ = weights
    output = tmp_path / "released.ckpt"
    done = command("import_weights", f"weights={path}", f"output={output}")
    assert (done.code, done.err) == (0, "")
    assert "157338 parameters" in done.out
    clips = sorted(synthetic_root.rglob("*.flac"))[:3]
    for number, clip in enumerate(clips):
        done = command("predict", f"checkpoint={output}", f"input={clip}", f"output={tmp_path}/{number}.csv")
        assert done.code == 0, done.err
        (row,) = csv.DictReader((tmp_path / f"{number}.csv").read_text().splitlines())
        assert list(row) == ["path", "prediction", *RAVDESS]
        assert row["path"] == str(clip)
        probabilities = [float(row[emotion]) for emotion in RAVDESS]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert RAVDESS[int(np.argmax(probabilities))] == row["prediction"]
        assert all(len(row[emotion].split(".")[1]) == 6 for emotion in RAVDESS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("lstm.bias_ih_l0"), "lacks lstm.ahead.bias_ih_l0"),
        (lambda s: s.update(extra=torch.zeros(1)), "has unknown extra"),
        (lambda s: s.update({"classify.7.bias": torch.zeros(9)}), "has misshaped classifier.7.bias"),
        (lambda s: s.update(epoch=3), "no state dict"),
        (lambda s: s.update({0: torch.zeros(1)}), "no state dict"),
        (lambda s: s.clear(), "lacks classifier.0.bias and"),
    ],
)
def test_other_weights_are_refused_by_name(command, weights, tmp_path, spoil, message):
    path, state = weights
    spoil(state)
    torch.save(state, path)
    done = command("import_weights", f"weights={path}", f"output={tmp_path}/out.ckpt")
    assert done.code == 1
    assert message in done.err
    assert str(path) in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "out.ckpt").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds a list that is no state dict"),
        (torch.zeros(1), "holds a Tensor that is no state dict"),
        ({"state_dict": {"lstm.weight_ih_l0": torch.zeros(1)}}, "holds a dict that is no state dict"),
        (nn.Linear(1, 1), "cannot be read as tensors and plain types"),
    ],
)
def test_a_file_that_holds_no_state_dict_is_refused(command, tmp_path, content, message):
    torch.save(content, tmp_path / "model.pt")
    refuses(command, tmp_path, message)


@pytest.mark.parametrize("content", [pickle.dumps({"a": 1}), b"text", b""])
def test_a_file_of_something_else_is_refused(command, tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    refuses(command, tmp_path, "is not a file of torch.save")


def refuses(command, folder, message):
    done = command("import_weights", f"weights={folder}/model.pt", f"output={folder}/out.ckpt")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"ser-import: {folder}/model.pt ")
    assert message in line
    assert not (folder / "out.ckpt").exists()


def test_absent_weights_are_named(command, tmp_path):
    done = command("import_weights", f"weights={tmp_path}/none.pt", f"output={tmp_path}/out.ckpt")
    assert (done.code, done.err) == (
        1,
        f"ser-import: there is no {tmp_path}/none.pt; give weights=<the released model.pt>\n",
    )
    done = command("import_weights", f"output={tmp_path}/out.ckpt")
    assert (done.code, done.err) == (1, "ser-import: weights is missing; give weights=<value>\n")


@pytest.mark.real
def test_the_released_weights_give_the_released_predictions(command, reference_root, tmp_path):
    """155 of 360 alone, 228 in one batch: what the released model computes, computed here."""

    def run(name, *words):
        done = command(name, *words)
        assert done.code == 0, done.err

    got = predict(reference_root, tmp_path, run)
    assert got.correct == CORRECT == {1: 155, 360: 228}
    assert got.difference <= PROBABILITY_ERROR
    assert got.same
