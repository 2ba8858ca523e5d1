"""Every experiment with a network of another study can train, evaluate and predict."""

import csv
import json

import pytest

from ser_lightning.build import config_folder
from ser_lightning.labels import RAVDESS

pytestmark = pytest.mark.slow

# Overrides that shorten each run to seconds and keep its features, copies, optimizer and schedule.
LIGHT = {
    "kaggle_cnn": ["model.channels=[8,8,8,8]"],
    "lim_cnn": ["model.channels=[4,4]"],
    "lim_lstm": ["model.hidden=16"],
    "lim_tdcnn": ["model.channels=[4,4]", "model.hidden=16"],
    "drcnn": ["model.channels=[8,8,8,8,8]", "model.hidden=[32,32]", "augment.images=2"],
    "attention_fcn": ["model.channels=[8,8,8,8,8]"],
    "crnn_attention": ["model.channels=[4,8]", "model.linear=16"],
    "res_lstm": [],
    "tim_net": [],
}
EXPERIMENTS = [
    path.stem
    for path in sorted((config_folder() / "experiment").glob("*.yaml"))
    if path.stem.removesuffix("_published") in LIGHT
]


def test_every_network_has_an_experiment():
    assert {name for name in EXPERIMENTS if not name.endswith("_published")} == LIGHT.keys()
    assert len(EXPERIMENTS) > len(LIGHT), "nor is what its study published left out"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_train_evaluate_and_predict(command, succeed, small, synthetic_root, tmp_path, experiment):
    light = LIGHT[experiment.removesuffix("_published")]
    words = [f"experiment={experiment}", *small, *light, "trainer.max_epochs=1", f"output_root={tmp_path}"]
    succeed("train", *words)
    (found,) = (tmp_path / experiment).rglob("result.json")
    run, result = found.parent, json.loads(found.read_text())
    assert run.name == "seed-0"
    assert result["epochs"] == 1
    assert all(0 <= result["metrics"]["test"][key] <= 1 for key in ("accuracy", "uar", "macro_f1"))
    again = command("evaluate", str(run))
    assert (again.code, again.out.splitlines()[-1]) == (0, "The metrics are equal to the last digit."), again.err
    clip = min(synthetic_root.rglob("*.flac"))
    succeed("predict", str(clip), "--model", f"{run}/checkpoints/best.ckpt", "-o", f"{tmp_path}/said.csv")
    (row,) = csv.DictReader((tmp_path / "said.csv").read_text().splitlines())
    assert row["prediction"] in RAVDESS
    assert sum(float(row[emotion]) for emotion in RAVDESS) == pytest.approx(1, abs=1e-4)


def test_run_folder_contains_the_fold(succeed, small, tmp_path):
    words = [word for word in small if not word.startswith("split=")]
    succeed(
        "train", "experiment=res_lstm", *words, "split=statement", "trainer.max_epochs=1", f"output_root={tmp_path}"
    )
    (found,) = (tmp_path / "res_lstm").rglob("result.json")
    assert found.parts[-3:] == ("fold-0", "seed-0", "result.json")
