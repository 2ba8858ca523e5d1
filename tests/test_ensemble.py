"""Ensembles: the mean of the probabilities of several networks, each trained by its own loss."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import ser_lightning as ser
from ser_lightning.checkpoint import build_model, read_checkpoint, rebuild_model
from ser_lightning.models.ensemble import Ensemble, mean_logits, members_of
from tests.conftest import run_command, without_calibration


@pytest.fixture(scope="module")
def run(small, tmp_path_factory) -> Path:
    """Folder of a finished run of two networks."""
    root = tmp_path_factory.mktemp("ensemble")
    code, _ = run_command("train", "experiment=corrected", *small, f"output_root={root}", "run_id=run", "ensemble=2")
    assert code == 0
    return root / "corrected" / "run"


def test_probabilities_are_the_mean_of_those_of_the_networks():
    logits = [torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[0.0, -3.0, 2.0]])]
    found = mean_logits(logits).softmax(1)
    assert torch.allclose(found, (logits[0].softmax(1) + logits[1].softmax(1)) / 2)
    assert mean_logits(logits[:1]) is logits[0]


def test_a_network_of_an_ensemble_has_the_gradient_of_its_own_loss(trained):
    checkpoint = read_checkpoint(trained / "checkpoints" / "best.ckpt")
    config = checkpoint.config | {"ensemble": 3}
    torch.manual_seed(0)
    model = build_model(config, features=checkpoint.features, classes=8).eval()
    assert isinstance(model, Ensemble)
    assert len({float(member.classifier[4].weight.detach().sum()) for member in members_of(model)}) == 3
    features, lengths, target = torch.randn(4, 20, checkpoint.features), torch.tensor([20, 18, 9, 5]), torch.arange(4)
    losses = [nn.functional.cross_entropy(member(features, lengths), target) for member in members_of(model)]
    torch.stack(losses).sum().backward()
    together = [parameter.grad.clone() for parameter in model.members[1].parameters()]
    model.zero_grad()
    nn.functional.cross_entropy(model.members[1](features, lengths), target).backward()
    for one, parameter in zip(together, model.members[1].parameters(), strict=True):
        assert torch.allclose(one, parameter.grad, atol=1e-7)


def test_predictions_of_a_run_are_the_mean_of_its_networks(run, tmp_path):
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(path)
    model = rebuild_model(checkpoint, path=path)
    first, second = members_of(model)
    assert first.standardize is second.standardize
    assert float(first.standardize.deviation.min()) > 0
    assert not torch.equal(first.classifier[7].weight, second.classifier[7].weight)
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["subset"] == "test")
    (clip,) = Path(checkpoint.config["corpus"]["root"]).rglob(f"{row['utterance']}.flac")
    classifier = ser.load(without_calibration(path, tmp_path))
    batch = classifier._batch(*soundfile.read(clip))
    with torch.inference_mode():
        expected = (first(*batch).double().softmax(1) + second(*batch).double().softmax(1))[0] / 2
    assert [float(row[label]) for label in classifier.labels] == pytest.approx(expected.tolist(), abs=1e-5)
    assert list(classifier.predict(*soundfile.read(clip)).probabilities.values()) == pytest.approx(
        expected.tolist(), abs=1e-6
    )
    assert classifier.embed(*soundfile.read(clip)).shape == (100,)


def test_result_counts_the_parameters_of_all_networks(run, trained):
    one, two = (json.loads((folder / "result.json").read_text()) for folder in (trained, run))
    assert two["parameters"] == 2 * one["parameters"]
    assert two["config"]["ensemble"] == 2
    assert np.isfinite(two["history"]["train/loss"]).all()


def test_report_names_an_ensemble(run, succeed):
    done = succeed("report", str(run), "--json")
    assert "ensemble of 2" in done.out


@pytest.mark.parametrize(
    "words",
    [["ensemble=0"], ["ensemble=1.5"], ["ensemble=2", "freeze=[lstm]"], ["ensemble=2", "experiment=logistic"]],
)
def test_impossible_ensembles_are_refused(command, small, tmp_path, words):
    if "experiment=logistic" in words:  # which refuses the options of the Trainer, too
        small = [word for word in small if not word.startswith(("trainer.", "data.batch_size"))]
    done = command("train", *small, f"output_root={tmp_path}", *words)
    assert done.code == 1
    assert "ensemble" in done.err
    assert not list(tmp_path.rglob("result.json"))
