"""``ser-export``, and ``ser-predict`` with its files."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from tests.export.conftest import WITHOUT_TORCH, sounds

from ser_lightning.cli.model_file import open_model
from ser_lightning.errors import InputError
from ser_lightning.predict.onnx_scorer import OnnxScorer

UNSET = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")  # environment variables that a user does not have


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for number, (seconds, rate) in enumerate([(0.6, 16000), (1.0, 48000), (2.3, 22050), (9.0, 16000)]):
        wave = sounds(round(seconds * 16000), seed=number)
        soundfile.write(folder / f"{number}.wav", np.stack([wave, 0.5 * wave], axis=1), rate)
    silence = np.zeros(24000, np.float32)
    utterances = [part for seed in range(5) for part in (sounds(64000, seed=seed), silence)]
    soundfile.write(folder / "long.wav", np.concatenate(utterances), 16000)
    return folder


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    """The ONNX file of a trained run; read only."""
    from ser_lightning.cli.export import main

    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with pytest.raises(SystemExit) as ended:
        main([str(trained / "checkpoints" / "best.ckpt"), str(path)])
    assert ended.value.code == 0
    return path


def test_onnx_file_predicts_as_checkpoint_without_torch(trained, exported, recordings, command, tmp_path):
    """The prediction leaves nothing in the home folder, where onnxruntime would keep what it reports to its makers."""
    checkpoint = command("predict", str(recordings), "--model", str(trained / "checkpoints" / "best.ckpt"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(recordings), "--model", str(exported)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name not in UNSET} | {"HOME": str(tmp_path)},
    )
    assert (done.returncode, checkpoint.code) == (0, 0), done.stderr
    assert not list(tmp_path.rglob("*"))
    found, expected = (list(csv.DictReader(io.StringIO(text))) for text in (done.stdout, checkpoint.out))
    emotions = OnnxScorer(exported, workers=1).emotions
    assert len(found) == len(expected) > len(list(recordings.iterdir()))  # the longest one has several utterances
    for row, other in zip(found, expected, strict=True):
        assert {key: row[key] for key in row if key not in emotions} == {
            key: other[key] for key in other if key not in emotions
        }
        for emotion in emotions:
            assert (row[emotion] == "") == (other[emotion] == "")
            assert abs(float(row[emotion] or 0) - float(other[emotion] or 0)) < 1e-4


def test_file_describes_its_model(trained, exported):
    result = json.loads((trained / "result.json").read_text())
    model = onnx.load(exported)
    onnx.checker.check_model(model)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["labels"]) == result["emotions"]
    assert properties["input"] == "waveform"
    assert properties["sampling_rate"] == "16000"
    assert json.loads(properties["audio"])["vad_mode"] == result["config"]["audio"]["vad_mode"]
    assert json.loads(properties["features"])["n_mels"] == 128
    assert json.loads(properties["versions"])["torch"].startswith("2.")
    assert len(properties["checkpoint_sha256"]) == 64
    assert len(properties["card"]) > 100
    (clip,) = model.graph.input
    assert [axis.dim_param or axis.dim_value for axis in clip.type.tensor_type.shape.dim] == [1, "samples"]


def test_probabilities_are_calibrated_softmax(exported):
    scorer = OnnxScorer(exported, workers=1)
    logits, probabilities = scorer.session.run(["logits", "probabilities"], {"waveform": sounds(20000, seed=1)[None]})
    exponentials = np.exp(logits / (scorer.temperature or 1.0))
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(), atol=1e-6)


def test_features_outside_the_graph_give_the_same_answers(trained, recordings, exported, command, tmp_path):
    path = tmp_path / "features.onnx"
    done = command("export", str(trained / "checkpoints" / "best.ckpt"), str(path), "--only-features", "--json")
    facts = json.loads(done.out)
    assert (facts["input"], facts["lengths"]) == ("features", 10)
    assert facts["largest_difference"] < 1e-4
    waves = [sounds(length, seed=length) for length in (500, 16000)]
    inside, outside = OnnxScorer(exported, workers=1), OnnxScorer(path, workers=1)
    np.testing.assert_allclose(outside.logits(waves), inside.logits(waves), atol=1e-3)


def test_int8_states_its_agreement_on_recordings(trained, recordings, command, tmp_path):
    checkpoint, path = str(trained / "checkpoints" / "best.ckpt"), tmp_path / "small.onnx"
    refused = command("export", checkpoint, str(path), "--int8")
    assert refused.code == 1
    assert "--clips" in refused.err
    assert not path.exists()
    facts = json.loads(command("export", checkpoint, str(path), "--int8", "--clips", str(recordings), "--json").out)
    assert facts["int8_clips"] == 5
    assert 0 <= facts["int8_agreement"] <= 1
    assert facts["bytes"] == path.stat().st_size
    assert 0 < facts["int8_largest_difference"] < 1


def test_difference_above_tolerance_is_refused(trained, command, tmp_path):
    path = tmp_path / "model.onnx"
    done = command("export", str(trained / "checkpoints" / "best.ckpt"), str(path), "--tolerance", "0")
    assert done.code == 1
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["--set", "audio.vad_mode=3"], "fixed"), (["--one-speaker"], "data.normalize=speaker")],
)
def test_options_of_checkpoints_are_refused(exported, recordings, command, words, reason):
    done = command("predict", str(recordings), "--model", str(exported), *words)
    assert done.code == 1
    assert reason in done.err


def damaged(content: bytes, path: Path, **change: str | None) -> Path:
    """Write a model with changed metadata."""
    model = onnx.load_from_string(content)
    values = {entry.key: entry.value for entry in model.metadata_props} | change
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: value for key, value in values.items() if value is not None})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"ser_lightning": None},
        {"ser_lightning": "99"},
        {"labels": None},
        {"labels": '["happy"]'},
        {"input": "picture"},
        {"temperature": "0"},
        {"sampling_rate": "fast"},
        {"audio": "not JSON"},
    ],
)
def test_damaged_metadata_are_refused(exported, tmp_path, change):
    with pytest.raises(InputError, match="export the checkpoint"):
        OnnxScorer(damaged(exported.read_bytes(), tmp_path / "model.onnx", **change), workers=1)


def test_audio_of_damaged_metadata_is_refused(exported, recordings, command, tmp_path):
    path = damaged(exported.read_bytes(), tmp_path / "model.onnx", audio='{"rate": 1}')
    done = command("predict", str(recordings), "--model", str(path))
    assert done.code == 1
    assert "damaged" in done.err


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_files_that_are_no_model_are_refused(exported, tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is None:
        path.write_bytes(exported.read_bytes()[:-2000])
    else:
        path.write_bytes(content)
    with pytest.raises(InputError):
        OnnxScorer(path, workers=1)
    path.unlink()
    with pytest.raises(InputError, match="there is no model"):
        OnnxScorer(path, workers=1)


def test_output_is_not_the_checkpoint(trained, command, tmp_path):
    path = tmp_path / "model.onnx"
    shutil.copy(trained / "checkpoints" / "best.ckpt", path)
    before = path.read_bytes()
    assert command("export", str(path), str(path)).code == 1
    assert path.read_bytes() == before


@pytest.fixture
def pair(trained, exported, tmp_path) -> Path:
    """A checkpoint with its ONNX file beside it."""
    shutil.copy(exported, tmp_path / "best.onnx")
    return Path(shutil.copy(trained / "checkpoints" / "best.ckpt", tmp_path / "best.ckpt"))


def answering(checkpoint: Path, **options: object) -> str:
    """Return the name of the file that answers for a checkpoint."""
    return open_model(
        str(checkpoint), **{"settings": [], "trust": [], "one_speaker": False, "refused": {}, "force": False} | options
    ).path.name


def test_exported_file_answers_for_checkpoint_without_torch(pair, recordings, command):
    words = [str(recordings), "--model", str(pair), "--json"]
    line = [sys.executable, "-c", WITHOUT_TORCH, *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(pair.with_suffix(".onnx")) in done.stderr
    expected = command("predict", *words, "--force").out  # which needs the checkpoint
    rows, others = ([json.loads(line) for line in text.splitlines()] for text in (done.stdout, expected))
    assert len(rows) == len(others) > 5
    for row, other in zip(rows, others, strict=True):
        assert row.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-5)
        assert row == other


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "best.onnx"),
        ({"exported": False}, "best.ckpt"),
        ({"settings": ["audio.vad_mode=3"]}, "best.ckpt"),
        ({"force": True}, "best.ckpt"),
        ({"trust": ["ser_lightning"]}, "best.ckpt"),
    ],
)
def test_options_that_need_the_checkpoint_use_it(pair, options, name):
    assert answering(pair, **{"exported": True} | options) == name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"checkpoint_sha256": "0" * 64}, "another checkpoint"),
        ({"tolerance": "null"}, "--int8"),
        ({"tolerance": "0.01"}, "--tolerance"),
        ({"ser_lightning": "1"}, "format"),
        ({"audio": '{"rate": 1}'}, "damaged"),
    ],
)
def test_file_that_does_not_match_is_ignored(pair, caplog, change, reason):
    path = pair.with_suffix(".onnx")
    damaged(path.read_bytes(), path, **change)
    assert answering(pair, exported=True) == "best.ckpt"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for part in (str(path), reason, "export the checkpoint"):
        assert part in record.getMessage()


def test_int8_file_does_not_answer_for_checkpoint(pair, recordings, command, caplog):
    small = str(pair.with_suffix(".onnx"))
    assert command("export", str(pair), small, "--int8", "--clips", str(recordings)).code == 0
    assert answering(pair, exported=True) == "best.ckpt"
    assert "--int8" in caplog.text


def test_export_without_output_writes_beside_the_checkpoint(pair, command):
    path = pair.with_suffix(".onnx")
    path.unlink()
    for words in (["--int8", "--clips", str(pair.parent)], ["--tolerance", "0.1"]):
        done = command("export", str(pair), *words)
        assert done.code == 1
        assert str(path) in done.err
    assert not path.exists()
    assert json.loads(command("export", str(pair), "--json").out)["model"] == str(path)
    assert answering(pair, exported=True) == "best.onnx"
