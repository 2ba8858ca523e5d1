"""A short part of ``make fuzz``, with fixed seeds so that the tests are deterministic."""

import subprocess
import sys
from pathlib import Path, PurePath

import pytest

from ser_lightning.audio.reader import read_audio
from ser_lightning.corpora.definitions.ravdess import RAVDESS
from tests import fuzz


def test_seed_files_are_valid(tmp_path):
    """If the seed files were invalid, every example would be rejected early and the fuzzer would find nothing."""
    files = fuzz.seeds()
    assert len(files) > 15
    for content in files:
        (tmp_path / "sound.wav").write_bytes(content)
        assert read_audio(tmp_path / "sound.wav")[0].shape[0] > 100
    assert RAVDESS.parse(PurePath("03-01-06-01-02-01-12"))["speaker"] == "12"
    from ser_lightning.report.runs import read_runs

    result, predictions = fuzz.good_run()
    (tmp_path / "result.json").write_text(fuzz.json.dumps(result))
    (tmp_path / "predictions.csv").write_bytes(predictions)
    runs, _, left_out = read_runs(tmp_path)
    assert (len(runs), left_out) == (1, [])


@pytest.mark.parametrize("name", ["stems", "manifests", "results"])
def test_text_readers(tmp_path, name):
    strategy, test = fuzz.texts(tmp_path)[name]
    fuzz.explore(strategy, test, seed=0, examples=150)


@pytest.mark.slow
def test_audio_reader_with_limited_memory(tmp_path):
    words = [sys.executable, "-m", "tests.fuzz", "listen", "0", str(tmp_path), "300"]
    done = subprocess.run(words, capture_output=True, cwd=Path(__file__).parents[1], check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int((tmp_path / "count").read_text()) == 300


def test_crashes_are_counted_and_kept(tmp_path, capsys, monkeypatch):
    """A broken fuzzer would print the same as one that finds no crash."""
    monkeypatch.setattr(fuzz, "texts", lambda _: {"texts": (fuzz.st.just(b""), lambda _: 1 / 0)})
    monkeypatch.setattr(
        fuzz, "LISTEN", ["-c", "import os, sys; open(sys.argv[3] + '/sound.wav', 'w').close(); os.abort()"]
    )
    assert fuzz.main(0.01, tmp_path / "kept") == 2
    out = capsys.readouterr().out
    assert "crash -6" in out
    assert "ZeroDivisionError" in out
    assert out.endswith("executions 0, crashes 2\n")
    assert len(list((tmp_path / "kept").iterdir())) == 1
