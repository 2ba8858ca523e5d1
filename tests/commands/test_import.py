"""The released weights and features, clip by clip."""

import csv
import re

import numpy as np
import pytest
import torch
from tests.model.test_cnn_bilstm import RELEASED

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
    output = tmp_path / "released.ckpt"
    assert command("import_weights", f"weights={reference_root}/model.pt", f"output={output}").code == 0
    correct = {}
    rows = {}
    for batch_size in (1, 360):
        done = command(
            "predict",
            *(f"checkpoint={output}", f"input={reference_root}/test_audio", f"output={tmp_path}/p.csv"),
            *("audio=untrimmed", f"data.batch_size={batch_size}"),
        )
        assert done.code == 0, done.err
        table = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
        rows[batch_size] = {row["path"].rpartition("/")[2].removesuffix(".flac"): row for row in table}
        correct[batch_size] = sum(
            RAVDESS[int(stem[6:8]) - 1] == row["prediction"] for stem, row in rows[batch_size].items()
        )
    assert correct == {1: 155, 360: 228}
    with np.load(reference_root / "logits_alone.npz") as expected:
        for stem, logits in zip(expected["utterance"], expected["logits"], strict=True):
            probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            got = [float(rows[1][str(stem)][emotion]) for emotion in RAVDESS]
            np.testing.assert_allclose(got, probabilities, atol=1e-4)
            assert int(np.argmax(got)) == int(np.argmax(logits))
