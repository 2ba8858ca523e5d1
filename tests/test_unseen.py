"""The table of ``make unseen``, on result files of six folds pooled by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from studies import unseen
from studies.unseen import WHOLE_OR_CUT, interval, main
from studies.unseen_corpora import Transfer, choose

from tests.report.conftest import place_runs, scores_by_hand

PART = "ravdess_emobox"


@pytest.fixture
def folder(tmp_path) -> Path:
    for system, seed, folds in (
        ("cnn_bilstm", 0, 6),
        ("cnn_bilstm", 1, 6),
        ("encoder_adapted", 0, 6),
        ("res_lstm", 0, 5),
    ):
        place_runs(tmp_path / "runs" / system / PART, seed, folds=folds)
    return tmp_path / "runs"


def test_scores_pool_the_folds_of_each_seed(folder):
    main([str(folder), "--seeds", "3", "--table"])
    scores = json.loads((folder / "unseen.json").read_text())["scores"]
    assert scores.keys() == {f"cnn_bilstm/{PART}", f"encoder_adapted/{PART}"}  # a fold of res_lstm is missing
    score = scores[f"cnn_bilstm/{PART}"]
    for seed in (0, 1):
        accuracy, uar, _ = scores_by_hand(folder / "cnn_bilstm" / PART, seed)
        assert score["accuracy"][seed] == pytest.approx(accuracy)
        assert score["uar"][seed] == pytest.approx(uar)
    assert score["low"] < score["uar"][0] < score["high"]
    assert score["speakers"] == 24


def missing(page: str, system: str) -> list[str]:
    """Return the parts and transfers of a system that a page lists as not run."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"- `{system}`: ") and "ser-train" not in line]
    return line.partition(": ")[2].split(", ")


def test_adapted_systems_have_their_own_table(folder):
    main([str(folder), "--seeds", "3", "--table"])
    text = (folder / "unseen_speakers.md").read_text()
    above, adapted = text.split("Transductive:")
    assert "| `cnn_bilstm`" in above
    assert "| `encoder_adapted`" not in above
    assert "| `encoder_adapted`" in adapted.split("##")[0]
    assert "ravdess_emobox" in missing(text, "res_lstm")


def test_stored_scores_stay_when_the_runs_are_gone(folder, tmp_path):
    docs = tmp_path / "docs"
    main([str(folder), "--seeds", "3", "--table", "--docs", str(docs)])
    before = json.loads((docs / "results" / "unseen.json").read_text())["scores"]
    shutil.rmtree(folder / "cnn_bilstm")
    main([str(folder), "--seeds", "3", "--table", "--docs", str(docs)])
    assert json.loads((docs / "results" / "unseen.json").read_text())["scores"] == before
    assert "| `cnn_bilstm`" in (docs / "unseen_speakers.md").read_text()


def test_results_on_other_corpora_are_shown_and_stored(folder, tmp_path):
    run = folder / "encoder" / "trained_on_ravdess_emodb"
    shutil.copytree(folder / "cnn_bilstm" / PART / "fold-0" / "seed-0", run)
    figures = {"metrics": {"uar": 0.512, "accuracy": 0.493}, "emotions": ["happy", "sad"], "clips": 90}
    (run / "across-emovo.json").write_text(json.dumps(figures))
    docs = tmp_path / "docs"
    main([str(folder), "--seeds", "3", "--table", "--docs", str(docs)])
    text = (docs / "unseen_speakers.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| ravdess, emodb")]
    assert [cell.strip() for cell in row.split("|")[2:7]] == ["emovo", "51.2", "49.3", "2", "90"]
    assert "ravdess->emodb" in missing(text, "encoder")
    assert "ravdess+emodb->emovo" not in missing(text, "encoder")
    shutil.rmtree(folder / "encoder")
    main([str(folder), "--seeds", "3", "--table", "--docs", str(docs)])
    assert row in (docs / "unseen_speakers.md").read_text()


def test_choice_for_a_corpus_ignores_its_own_results():
    def transfer(uar: float) -> Transfer:
        return Transfer(uar=uar, accuracy=0.0, emotions=["happy"], clips=1, commit="c", device="cpu")

    uars = {"ravdess->emovo": (40, 45), "emovo->ravdess": (30, 28), "ravdess->emodb": (60, 10), "emodb->emovo": (9, 1)}
    found = {
        f"{system}/{task}": transfer(pair[n]) for task, pair in uars.items() for n, system in enumerate(WHOLE_OR_CUT[0])
    }
    assert choose(found, WHOLE_OR_CUT[0], "emodb") == "encoder_cut"
    assert choose(found, WHOLE_OR_CUT[0], "emovo") is None  # emodb->ravdess is missing


def test_folder_without_runs_is_refused(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "runs"), "--seeds", "1", "--table"])
    assert ended.value.code == 1
    assert "--table" in capsys.readouterr().err


def test_interval_is_wide_where_speakers_differ():
    same = np.tile(np.array([[8, 2], [2, 8]]), (10, 1, 1))
    good, bad = np.array([[10, 0], [0, 10]]), np.array([[6, 4], [4, 6]])
    different = np.array([good, bad] * 5)
    low, high = interval(different)
    assert low < 80 < high
    assert high - low > 5
    one = interval(same + np.arange(10)[:, None, None] % 2 * np.array([[1, 0], [0, 1]]))
    assert one[1] - one[0] < high - low


def test_every_part_and_system_is_a_valid_configuration():
    names = [system.name for system in unseen.SYSTEMS]
    assert len(set(names)) == len(names)
    assert all(any(word.startswith("data.normalize=") for word in s.words) == s.transductive for s in unseen.SYSTEMS)
