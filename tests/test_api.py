"""The public functions of the package, and the Python session of the documentation."""

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_lightning as ser
from ser_lightning.errors import InputError
from tests.conftest import without_calibration

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def best(trained, tmp_path_factory):
    return without_calibration(trained / "checkpoints" / "best.ckpt", tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def recording(trained, synthetic_root):
    """Path of a test clip of the run, with its predicted probabilities."""
    rows = [line.split(",") for line in (trained / "predictions.csv").read_text().splitlines()]
    row = next(row for row in rows if "test" in row)
    (path,) = synthetic_root.rglob(f"{row[0]}.flac")
    return path, [float(value) for value in row[-8:]]


def test_prediction_equals_that_of_the_run(best, recording):
    classifier = ser.load(best)
    path, expected = recording
    found = classifier.predict(*soundfile.read(path))
    assert tuple(found.probabilities) == classifier.labels
    assert list(found.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    assert found.label == classifier.labels[int(np.argmax(expected))]


def test_embedding_determines_the_prediction(best, recording):
    classifier = ser.load(best)
    vector = classifier.embed(*soundfile.read(recording[0]))
    assert vector.shape == (50,)
    output = classifier.model.classifier[-1]
    logits = output.weight.detach().numpy() @ vector + output.bias.detach().numpy()
    exp = np.exp(logits - logits.max())
    assert exp / exp.sum() == pytest.approx(recording[1], abs=1e-5)


def test_channels_and_precision_of_the_waveform(best, recording):
    classifier = ser.load(best)
    wave, rate = soundfile.read(recording[0])
    mono = classifier.predict(wave, rate)
    assert classifier.predict(np.stack([wave, wave], axis=1), rate) == mono
    assert classifier.predict(wave.astype(np.float32), np.int64(rate)) == mono


@pytest.mark.parametrize(
    ("wave", "rate", "message"),
    [
        (np.zeros(0), 16000, r"shape \(0,\)"),
        (np.zeros(9, np.int16), 16000, "type int16"),
        (np.zeros((2, 2, 2)), 16000, r"shape \(2, 2, 2\)"),
        (np.full(9, np.nan), 16000, "NaN"),
        (np.zeros(9), 0, "sampling rate is 0"),
        (np.zeros(9), 16000.5, r"sampling rate is 16000\.5"),
    ],
)
def test_invalid_waveforms_are_refused(wave, rate, message):
    with pytest.raises(InputError, match=message):
        ser.extract(wave, rate)


def test_features_equal_those_of_the_command(command, recording, tmp_path):
    assert command("features", str(recording[0]), "--output", str(tmp_path), "--set", "features=logmel").code == 0
    (file,) = tmp_path.rglob("*.npy")
    found = ser.extract(*soundfile.read(recording[0]), features="logmel")
    assert found.shape[1] == 162
    np.testing.assert_array_equal(found, np.load(file))


def test_corpus_lists_its_utterances(synthetic_root, trained):
    utterances = ser.load_corpus("synthetic_small", root=synthetic_root)
    assert len(utterances) == json.loads((trained / "result.json").read_text())["corpus"]["utterances"]
    assert all(utterance.path.is_file() for utterance in utterances)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ser.load("absent.ckpt"), r"absent\.ckpt"),
        (lambda: ser.load_corpus("emobd"), "'emodb'"),
        (lambda: ser.load_corpus("emodb", rot="x"), "corpus.rot is unknown"),
        (lambda: ser.load_corpus("pooled"), "pooled"),
        (lambda: ser.extract(np.zeros(9), 16000, features="papr"), "'paper'"),
    ],
)
def test_invalid_names_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_import_is_fast_and_lazy():
    code = "import sys, time; start = time.perf_counter(); import ser_lightning; took = time.perf_counter() - start;"
    code += "assert {'load', 'extract'} <= set(dir(ser_lightning)); print(took, *sys.modules)"
    took, *modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert float(took) < 0.5
    assert not {"torch", "numpy", "hydra", "librosa"} & set(modules)
    with pytest.raises(AttributeError, match="laod"):
        ser.laod  # noqa: B018


def test_python_session_of_the_documentation(best, recording, synthetic_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(best, "best.ckpt")
    shutil.copy(recording[0], "recording.flac")
    Path("synthetic").symlink_to(synthetic_root)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").replace("```", "")
    session = doctest.DocTestParser().get_doctest(text, {}, "python.md", "docs/python.md", 0)
    assert len(session.examples) >= 9
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session).failed == 0


def test_segments_equal_those_of_the_command(command, best, recording, tmp_path):
    wave, rate = soundfile.read(recording[0], dtype="float32")
    long = np.concatenate([np.stack([wave, 0.5 * wave], 1), np.zeros((rate, 2), np.float32)] * 8)
    soundfile.write(tmp_path / "a.wav", long, rate, subtype="FLOAT")
    classifier = ser.load(best)
    for options, words in (
        ({}, []),
        ({"window": 3, "hop": 1.5}, ["--window", "3", "--hop", "1.5"]),
        ({"channels": "each", "max_length": 4.0}, ["--channels", "each", "--max-length", "4"]),
    ):
        found = classifier.segments(long, rate, **options)
        done = command("predict", f"{tmp_path}/a.wav", "--model", str(best), "--json", *words)
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert len(rows) == len(found) > 1
        for row, segment in zip(rows, found, strict=True):
            assert (row["channel"], row["prediction"]) == (segment.channel, segment.answer)
            assert (row["start"], row["end"]) == (
                pytest.approx(segment.start, abs=1e-3),
                pytest.approx(segment.end, abs=1e-3),
            )
            assert row["probabilities"] == pytest.approx(segment.probabilities, abs=1e-6)
    (whole,) = classifier.segments(wave, rate)
    assert whole.probabilities == pytest.approx(classifier.predict(wave, rate).probabilities, abs=1e-6)
    with pytest.raises(InputError, match="--hop"):
        classifier.segments(wave, rate, window=1.0, hop=2.0)
