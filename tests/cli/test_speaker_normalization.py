"""Runs with normalization by speaker: their results, reports and predictions."""

import json
from pathlib import Path

import pytest
from tests.cli.run_files import result_of
from tests.conftest import run_command, settings

import ser_lightning
from ser_lightning.errors import InputError


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory) -> Path:
    """Return the sweep folder of one run with each normalization."""
    root = tmp_path_factory.mktemp("normalized")
    given = [word for word in small if not word.startswith("trainer.max_epochs")]
    for mode in ("none", "speaker", "speaker_online"):
        words = ["experiment=logistic", *given, f"output_root={root}", f"data.normalize={mode}", f"run_id=by-{mode}"]
        assert run_command("train", *words, "model.c=[0.1]")[0] == 0
    return root / "logistic"


@pytest.mark.slow
def test_result_says_that_it_is_transductive(runs):
    found = {path.parent.name[3:]: result_of(path.parent) for path in runs.glob("*/result.json")}
    assert found["none"]["normalization"] is None
    for mode in ("speaker", "speaker_online"):
        assert found[mode]["normalization"]["transductive"] is True
        assert found[mode]["normalization"]["mode"] == mode
    assert "order" in found["speaker_online"]["normalization"]
    for mode, result in found.items():
        (finding,) = [f for f in result["audit"]["findings"] if f["name"] == "adaptation to evaluated speakers"]
        assert (finding["severity"], finding["found"]) == ("shared", mode != "none")
        assert result["audit"]["leak"] is False
    assert len({json.dumps(result["metrics"]) for result in found.values()}) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_report_names_the_transductive_arms(command, runs):
    assert command("report", str(runs), "--arm", "data.normalize").code == 0
    report = json.loads((runs / "report.json").read_text())
    assert set(report["arms"]) == {
        "none",
        "speaker (transductive, speaker)",
        "speaker_online (transductive, speaker_online)",
    }
    lines = [line for line in (runs / "report.md").read_text().splitlines() if line.startswith("| speaker")]
    assert lines
    assert all("(transductive" in line for line in lines if not line.startswith("| speaker's gender"))


def test_evaluation_repeats_the_metrics(succeed, runs):
    succeed("evaluate", str(runs / "by-speaker_online"))


def test_prediction_needs_to_know_the_speaker(command, succeed, runs, synthetic_root):
    model = str(runs / "by-speaker" / "checkpoints" / "best.ckpt")
    recordings = [str(path) for path in sorted(synthetic_root.rglob("*.flac"))[:6]]
    refused = command("predict", *recordings, "--model", model)
    assert refused.code == 1
    assert "--one-speaker" in refused.err
    refused = command("predict", recordings[0], "--model", model, "--one-speaker")
    assert refused.code == 1
    assert "several recordings" in refused.err
    with pytest.raises(InputError, match=r"data\.normalize=speaker"):
        ser_lightning.load(model)
    done = succeed("predict", *recordings, "--model", model, "--one-speaker", "--json")
    together = [json.loads(line) for line in done.out.splitlines()]
    assert [row["path"] for row in together] == recordings
    fewer = command("predict", *recordings[:2], "--model", model, "--one-speaker", "--json").out.splitlines()
    assert json.loads(fewer[0])["probabilities"] != together[0]["probabilities"]  # by the statistics of two clips


def test_one_speaker_is_refused_for_other_checkpoints(command, runs, synthetic_root):
    recording = str(next(synthetic_root.rglob("*.flac")))
    model = str(runs / "by-none" / "checkpoints" / "best.ckpt")
    refused = command("predict", recording, "--model", model, "--one-speaker")
    assert refused.code == 1
    assert "--one-speaker" in refused.err
    # The features of the checkpoint would no longer be those that it was trained with.
    changed = command("predict", recording, "--model", model, *settings("data.normalize=speaker"))
    assert changed.code == 1


def test_network_is_trained_with_normalized_features(succeed, small, tmp_path):
    succeed("train", "experiment=corrected", *small, f"output_root={tmp_path}", "data.normalize=speaker")
    (path,) = tmp_path.rglob("result.json")
    result = json.loads(path.read_text())
    assert result["normalization"]["transductive"] is True
    (finding,) = [f for f in result["audit"]["findings"] if f["name"] == "normalizer fitted outside training"]
    assert finding["found"] is False
