"""``ser-report --with-audio``: the chosen errors, their players, and its refusals."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from tests.report.conftest import clip_names, edit, write_sweep

from ser_lightning.cli.report import main
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.listening.clip_errors import choose_clips, clip_errors, confusions, has_probabilities, read_clips
from ser_lightning.listening.page import NAME, check_not_committed, render_errors
from ser_lightning.listening.recordings import listener_rates, recording_folders, recordings_by_id
from ser_lightning.report.arms import compare_arms
from ser_lightning.report.runs import read_runs

pytestmark = pytest.mark.usefixtures("few_draws")
SOUNDS = 150  # of the 360 test clips
ROWS = [  # utterance, prediction, probability of happy and of sad, of two runs; the true emotion is angry
    ("a", "happy", 0.9, 0.0),
    ("a", "happy", 0.7, 0.0),
    ("b", "sad", 0.1, 0.6),
    ("b", "angry", 0.0, 0.2),
    ("c", "happy", 0.5, 0.3),
    ("c", "sad", 0.1, 0.8),
    ("d", "angry", 0.3, 0.3),
    ("d", "angry", 0.3, 0.3),
]


def table() -> pd.DataFrame:
    clips = pd.DataFrame(ROWS, columns=["utterance", "prediction", "happy", "sad"])
    return clips.assign(target="angry", angry=1 - clips.happy - clips.sad, speaker="s", gender="female")


def test_errors_are_ranked_by_their_mean_probability() -> None:
    errors = clip_errors(table())

    found = [(error.id, error.predicted, round(error.confidence, 3), error.wrong, error.runs) for error in errors]
    assert found == [("a", "happy", 0.8, 2, 2), ("c", "sad", 0.55, 1, 2), ("b", "sad", 0.4, 1, 2)]
    assert confusions(table()) == {("angry", "happy"): 3, ("angry", "sad"): 2}
    assert has_probabilities(table())


def test_without_probabilities_runs_are_counted() -> None:
    clips = table().drop(columns=["angry", "happy", "sad"])

    assert {error.id: error.confidence for error in clip_errors(clips)} == {"a": 1.0, "b": 0.5, "c": 0.5}
    assert not has_probabilities(clips)


def test_half_of_the_clips_are_confident_and_half_are_frequent_confusions() -> None:
    clips = pd.DataFrame(
        [(f"r{n}", "rare", 0.9 - n / 100) for n in range(3)] + [(f"f{n}", "often", 0.5 - n / 100) for n in range(9)],
        columns=["utterance", "prediction", "confidence"],
    ).assign(target="angry", speaker="s")
    clips["rare"] = clips.confidence.where(clips.prediction == "rare", 0)
    clips["often"] = clips.confidence.where(clips.prediction == "often", 0)

    chosen = choose_clips(clip_errors(clips), confusions(clips), most=6)

    found = {predicted: [error.id for error in errors] for (_, predicted), errors in chosen.items()}
    assert found == {"often": ["f0", "f1", "f2"], "rare": ["r0", "r1", "r2"]}
    assert sum(map(len, choose_clips(clip_errors(clips), confusions(clips), most=99).values())) == 12


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Part of RAVDESS with noise instead of speech."""
    root = tmp_path_factory.mktemp("ravdess")
    noise = np.random.default_rng(0).normal(0, 0.1, 2000)
    for number, name in enumerate(clip_names("test")[:SOUNDS]):
        soundfile.write(root / f"{name}.wav", noise * (1 + number / SOUNDS), 16000)
    return root


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("outputs") / "x", seeds=2)


def report(*words: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code


def test_number_of_clips_needs_the_page_with_players(tmp_path, capsys) -> None:
    assert report(str(tmp_path), "--clips", "7") == 1
    assert "--with-audio" in capsys.readouterr().err


def test_page_plays_the_errors_of_the_baseline_arm(sweep, speech, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RAVDESS_ROOT", str(speech))

    assert report(str(sweep), "--with-audio", "--clips", "7", "--baseline", "p25", "--output", str(tmp_path)) == 0

    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / NAME)
    html = (tmp_path / NAME).read_text()
    sounds = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', html)
    assert len(sounds) == 7
    assert soundfile.info(io.BytesIO(base64.b64decode(sounds[0]))).duration == pytest.approx(2000 / 16000, abs=0.15)
    results = read_runs(sweep)
    comparison = compare_arms(results.runs, results.predictions, arm="dropout", baseline="p25")
    clips = read_clips(comparison, "p25", sweep)
    assert f"{(clips.target != clips.prediction).sum()} of {len(clips)} answers" in html
    wrong = set(clips.utterance[clips.prediction != clips.target])
    names = re.findall(r"<p>(03-01-[\d-]+) <span", html)
    assert len(names) == 7
    assert set(names) <= wrong & set(clip_names("test")[:SOUNDS])
    assert f"{360 - SOUNDS} test clips have no recording here" in html
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("folder", ["docs/results/x", "docs/results", "a/docs/results/dropout/released"])
def test_folders_of_committed_results_are_refused(sweep, speech, tmp_path, monkeypatch, capsys, folder) -> None:
    monkeypatch.setenv("RAVDESS_ROOT", str(speech))

    assert report(str(sweep), "--with-audio", "--output", str(tmp_path / folder)) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / folder) in line
    assert "--output" in line
    assert not (tmp_path / folder).exists()
    check_not_committed(tmp_path / "docs/other/results")


def test_page_is_ignored_by_git() -> None:
    assert NAME in (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("root", [None, "missing"])
def test_missing_corpus_names_the_variable(sweep, tmp_path, monkeypatch, capsys, root) -> None:
    if root is None:
        monkeypatch.delenv("RAVDESS_ROOT", raising=False)
    else:
        monkeypatch.setenv("RAVDESS_ROOT", str(tmp_path / root))

    assert report(str(sweep), "--with-audio", "--output", str(tmp_path / "out")) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "RAVDESS_ROOT" in line
    assert (str(tmp_path / "missing") in line) is (root is not None)
    assert not (tmp_path / "out").exists()


def test_folder_of_the_config_precedes_the_variable(speech, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RAVDESS_ROOT", str(tmp_path))

    assert recording_folders("ravdess", {"root": str(speech)}) == {"ravdess": speech}
    assert recording_folders("ravdess", {"root": "/moved"}) == {"ravdess": tmp_path}
    pooled = {"parts": {"ravdess": {"root": str(speech)}, "emodb": {"root": str(tmp_path)}}}
    assert recording_folders("ravdess+emodb", pooled) == {"ravdess": speech, "emodb": tmp_path}
    assert recording_folders("mine", {}) == {}


def test_own_corpus_is_built_from_the_config(tmp_path) -> None:
    soundfile.write(tmp_path / "one.wav", np.full(1600, 0.1), 16000)
    (tmp_path / "t.csv").write_text("path,emotion\none.wav,happy\n")
    names = ("id", "path", "emotion", "speaker", "gender", "age", "statement", "take", "intensity", "language")
    config = {
        "_target_": "ser_lightning.corpora.table.TableCorpus",
        "columns": {name: name for name in (*names, "start", "end", "channel", "split")},
        **dict.fromkeys(("labels", "raters", "genders", "separator", "merge", "root")),
        **{"name": "table", "path": str(tmp_path / "t.csv"), "ties": "drop", "decimal": "point", "encoding": "utf-8"},
        **{"on_problem": "error", "follow_links": False, "downmix": "mean"},
    }

    (found,) = recordings_by_id({}, config).values()

    assert found.path == tmp_path / "one.wav"


def test_listeners_of_emodb_are_read_and_compared(tmp_path) -> None:
    wav = tmp_path / "wav"
    wav.mkdir()
    rows = [
        "Nr.\tSatz\terkannt\tnatuerlich",
        "1\xa0\tc.wav\t65,00\xa0\xa0\t35,00",
        "2\ta.wav\t40,00\t1",
        "3\td.wav\t95,00",
        "",
    ]
    (tmp_path / "erkennung.txt").write_text("\r\n".join(rows), encoding="latin-1")
    soundfile.write(wav / "a.wav", np.full(1600, 0.1), 16000)
    recordings = {
        name: Utterance(id=name, path=wav / "a.wav", corpus="emodb", emotion="angry", digest="") for name in "abcd"
    }

    rates = listener_rates(recordings, {"emodb": wav})

    assert rates == {"c": 65.0, "a": 40.0, "d": 95.0}
    html = render_errors(table(), recordings, rates=rates, title="t", most=2)
    assert "95.0 % of listeners" in html  # d is right
    assert "52.5 % in the others" in html
    assert listener_rates(recordings, {"emodb": wav / "deeper"}) == {}


def test_names_are_escaped(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(1600, 0.1), 16000)
    clips = table().assign(speaker="<script>alert(1)</script>")
    recordings = {n: Utterance(id=n, path=tmp_path / "a.wav", corpus="x", emotion="y", digest="") for n in "abcd"}

    html = render_errors(clips, recordings, rates={}, title="<b>", most=9)

    assert "<script>alert" not in html
    assert "<b>" not in html


def test_unreadable_recording_is_named(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    recordings = {n: Utterance(id=n, path=tmp_path / "a.wav", corpus="x", emotion="y", digest="") for n in "abcd"}

    with pytest.raises(InputError, match=r"a\.wav"):
        render_errors(table(), recordings, rates={}, title="t", most=1)


def test_damaged_runs_do_not_prevent_the_check(sweep, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("RAVDESS_ROOT", raising=False)
    other = write_sweep(tmp_path / "y", seeds=1)
    edit(other / "dropout-none/seed-0", lambda result: result.pop("corpus"))

    assert report(str(other), "--with-audio", "--output", str(tmp_path / "out")) == 1
    assert "RAVDESS_ROOT" in capsys.readouterr().err
