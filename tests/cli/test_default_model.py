"""The model of the package."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import soundfile
from tests.cli.conftest import RATE, clip, wave  # noqa: F401 - fixtures
from tests.export.conftest import WITHOUT_TORCH

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.predict.defaults import DEFAULT_MODEL


def test_default_model_is_small_calibrated_and_without_paths():
    assert DEFAULT_MODEL.stat().st_size < 1_000_000
    found = read_checkpoint(DEFAULT_MODEL)
    assert set(found.emotions) == {"neutral", "happy", "sad", "angry", "fearful", "disgust", "bored"}
    assert found.calibration is not None
    assert found.calibration.clips == 535
    assert found.training_data is not None
    text = json.dumps(found.config)
    assert found.config["corpus"]["root"] is None
    assert "/home" not in text
    assert '"/' not in text
    card = DEFAULT_MODEL.with_name("MODEL_CARD.md").read_text()
    assert "emodb" in card
    assert '"/' not in card


@pytest.mark.skipif(find_spec("pipecat") is None, reason="pip install --no-deps pipecat-ai==1.14.0")
def test_command_without_a_model_predicts_with_it(succeed, wave, tmp_path):  # noqa: F811
    soundfile.write(tmp_path / "talk.wav", wave, RATE)
    done = succeed("predict", str(tmp_path / "talk.wav"), "--json")
    assert "EmoDB" in done.err
    assert sum(json.loads(done.out)["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pipecat") is None, reason="pip install --no-deps pipecat-ai==1.14.0")
def test_exported_default_model_answers_without_torch(command, wave, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    soundfile.write(tmp_path / "talk.wav", wave, RATE)
    words = [str(tmp_path / "talk.wav"), "--json"]
    expected = json.loads(command("predict", *words).out)["probabilities"]
    assert command("export").code == 0
    path = tmp_path / "ser-lightning" / "emodb.onnx"
    assert path.is_file()
    line = [sys.executable, "-c", WITHOUT_TORCH, *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stderr
    assert json.loads(done.stdout)["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_missing_encoder_is_named_with_its_remedy(command, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = command("predict", str(tmp_path))
    assert done.code == 1
    assert "pip install 'ser-lightning[encoder]'" in done.err
    assert "--model" in done.err
