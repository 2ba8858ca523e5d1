"""``ser-import``: convert released weights to a checkpoint."""

import csv
import json
import pickle
import re

import numpy as np
import pytest
import torch
from tests.conftest import settings
from tests.models.test_cnn_bilstm import RELEASED
from tests.parity import CORRECT, PROBABILITY_ERROR, predict
from torch import nn

from ser_lightning.labels import RAVDESS
from ser_lightning.models.cnn_bilstm import CNNBiLSTM
from ser_lightning.predict.formats import COLUMNS

THEIRS = (
    (r"convolutions\.(\d)", lambda m: f"MFCC_feature_extraction.{2 * int(m[1])}"),
    (r"lstm\.forward_lstm\.(\w+)", r"lstm.\1"),
    (r"lstm\.backward_lstm\.(\w+)", r"lstm.\1_reverse"),
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


def test_imported_checkpoint_predicts(command, succeed, weights, synthetic_root, small, tmp_path, trained):
    path, _ = weights
    output = tmp_path / "released.ckpt"
    done = command("import_weights", str(path), "--output", str(output))
    assert (done.code, done.err) == (0, "")
    assert "157338 parameters" in done.out
    clips = sorted(synthetic_root.rglob("*.flac"))[:3]
    for number, clip in enumerate(clips):
        succeed("predict", str(clip), "--model", str(output), "--output", f"{tmp_path}/{number}.csv")
        (row,) = csv.DictReader((tmp_path / f"{number}.csv").read_text().splitlines())
        assert list(row) == [*COLUMNS, *RAVDESS, "warnings"]
        assert row["path"] == str(clip)
        probabilities = [float(row[emotion]) for emotion in RAVDESS]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert RAVDESS[int(np.argmax(probabilities))] == row["prediction"]
        assert all(len(row[emotion].split(".")[1]) == 6 for emotion in RAVDESS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("lstm.bias_ih_l0"), "lacks lstm.forward_lstm.bias_ih_l0"),
        (lambda s: s.update(extra=torch.zeros(1)), "has unknown extra"),
        (lambda s: s.update({"classify.7.bias": torch.zeros(9)}), "has misshaped classifier.7.bias"),
        (lambda s: s.update(epoch=3), "no state dict"),
        (lambda s: s.update({0: torch.zeros(1)}), "no state dict"),
        (lambda s: s.clear(), "lacks classifier.0.bias and"),
    ],
)
def test_mismatched_weights_are_refused_by_name(command, weights, tmp_path, spoil, message):
    path, state = weights
    spoil(state)
    torch.save(state, path)
    done = command("import_weights", str(path), "--output", f"{tmp_path}/out.ckpt")
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
def test_file_without_a_state_dict_is_refused(refused, tmp_path, content, message):
    torch.save(content, tmp_path / "model.pt")
    refuses(refused, tmp_path, message)


@pytest.mark.parametrize("content", [pickle.dumps({"a": 1}), b"text", b""])
def test_file_not_written_by_torch_save_is_refused(refused, tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    refuses(refused, tmp_path, "is not a file of torch.save")


def refuses(refused, folder, message):
    line = refused("import_weights", f"{folder}/model.pt", "--output", f"{folder}/out.ckpt")
    assert line.startswith(f"ser-import: {folder}/model.pt ")
    assert message in line
    assert not (folder / "out.ckpt").exists()


def test_missing_weights_are_reported(command, refused, tmp_path):
    done = command("import_weights", f"{tmp_path}/none.pt", "--output", f"{tmp_path}/out.ckpt")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert f"there is no {tmp_path}/none.pt" in line
    line = refused("import_weights", f"{tmp_path}/none.pt")
    assert "--output" in line
    assert command("import_weights", "--output", f"{tmp_path}/out.ckpt").code == 2
    assert not list(tmp_path.iterdir())


def test_config_of_imported_weights_can_be_changed(command, succeed, weights, tmp_path):
    path, _ = weights
    output = tmp_path / "changed.ckpt"
    words = [str(path), "--output", str(output), "--json"]
    done = succeed("import_weights", *words, *settings("audio=untrimmed", "dropout=p50", "name=2026_11_27"))
    assert json.loads(done.out) == {"weights": str(path), "checkpoint": str(output), "parameters": 157338}
    config = torch.load(output, weights_only=True)["ser_lightning"]["config"]
    assert (config["name"], config["audio"]["vad_mode"], config["model"]["dropout"]) == ("2026_11_27", None, 0.5)
    before = path.read_bytes()
    for other in ("model.txt", "model.pt"):
        assert command("import_weights", str(path), "--output", f"{tmp_path}/{other}").code == 1
    assert path.read_bytes() == before


@pytest.mark.real
@pytest.mark.slow
def test_released_weights_give_the_released_predictions(succeed, reference_root, tmp_path):
    """The released model is right on 155 of 360 clips one at a time, and on 228 in one batch."""

    def run(name, *words):
        succeed(name, *words)

    got = predict(reference_root, tmp_path, run)
    assert got.correct == CORRECT == {1: 155, 360: 228}
    assert got.difference <= PROBABILITY_ERROR
    assert got.same
