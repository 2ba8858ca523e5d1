"""A stream gives the predictions of a file of the same samples."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from tests.cli.conftest import RATE, clip, conversation, rows_of, wave  # noqa: F401 - fixtures

import ser_lightning as ser
from ser_lightning.errors import InputError
from ser_lightning.predict.pcm import read_pcm


@pytest.fixture(scope="module")
def classifier(trained):
    return ser.load(trained / "checkpoints" / "best.ckpt")


def chunks_of(samples, size):
    return [samples[at : at + size] for at in range(0, len(samples), size)]


@pytest.mark.parametrize("options", [{}, {"window": 3.0, "hop": 1.0}])
def test_stream_has_the_numbers_of_the_file(classifier, trained, conversation, command, options):  # noqa: F811
    path, _ = conversation
    samples, _ = soundfile.read(path, dtype="float32")
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    done = command("predict", str(path), "--model", f"{trained}/checkpoints/best.ckpt", *words)
    rows = rows_of(done)
    found = list(classifier.stream(chunks_of(samples, 777), RATE, **options))
    assert len(found) == len(rows) > 10
    for row, each in zip(rows, found, strict=True):
        assert (row["start"], row["end"], row["prediction"]) == (f"{each.start:.3f}", f"{each.end:.3f}", each.answer)
        assert row["warnings"] == "; ".join(each.warnings)
        for emotion, value in (each.probabilities or {}).items():
            assert float(row[emotion]) == pytest.approx(value, abs=1e-6)


def test_short_stream_is_one_segment(classifier, wave):  # noqa: F811
    (found,) = classifier.stream(chunks_of(wave, 1000), RATE)
    assert (found.start, found.end) == (0, len(wave) / RATE)
    assert found.probabilities == classifier.predict(wave, RATE).probabilities
    with pytest.raises(InputError, match="no samples"):
        list(classifier.stream([], RATE))
    with pytest.raises(InputError, match="int16"):
        list(classifier.stream([np.zeros(9, np.int16)], RATE))


def test_answer_comes_while_the_stream_goes_on(classifier, wave):  # noqa: F811
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield np.resize(wave, RATE // 2)

    first = next(classifier.stream(endless(), RATE, window=1.0, hop=0.5))
    assert (first.start, first.end, read) == (0, 1, 3)


def test_command_reads_raw_samples_from_standard_input(classifier, trained, conversation, tmp_path):  # noqa: F811
    path, _ = conversation
    samples, _ = soundfile.read(path, dtype="int16")
    model = f"{trained}/checkpoints/best.ckpt"
    code = "from ser_lightning.cli.predict import main; main()"
    words = [sys.executable, "-c", code, "-", "--model", model, "--sampling-rate", str(RATE), "--json"]
    done = subprocess.run(words, input=samples[: 15 * RATE].tobytes(), capture_output=True, check=True, cwd=tmp_path)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = list(classifier.stream([samples[: 15 * RATE] / np.float32(32768)], RATE))
    assert len(found) > 1
    assert [(row["path"], row["start"], row["prediction"]) for row in found] == [
        ("-", round(each.start, 3), each.answer) for each in expected
    ]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-"], "--sampling-rate"),
        (["-", "--sampling-rate", "16000", "--timeline", "x"], "--timeline"),
        (["-", "a.wav", "--sampling-rate", "16000"], "no other input"),
        (["a.wav", "--sampling-rate", "16000"], "only input"),
    ],
)
def test_options_must_fit_the_stream(command, trained, words, part):
    done = command("predict", *words, "--model", f"{trained}/checkpoints/best.ckpt")
    assert done.code == 1
    assert part in done.err


def test_raw_samples_may_be_cut_anywhere():
    values = np.array([0, 16384, -32768, 1], "<i2")

    class Pieces(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(3)

    sound = read_pcm(Pieces(values.tobytes()), rate=RATE, sample_format="s16le", name="x")
    np.testing.assert_array_equal(np.concatenate(list(sound.blocks))[:, 0], values / np.float32(32768))
    with pytest.raises(InputError, match="within a sample"):
        list(read_pcm(io.BytesIO(b"12345"), rate=RATE, sample_format="f32le", name="x").blocks)
    with pytest.raises(InputError, match="s16le"):
        read_pcm(io.BytesIO(), rate=RATE, sample_format="s24", name="x")
