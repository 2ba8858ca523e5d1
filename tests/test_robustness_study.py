"""The study of robustness: its tables, and that its page is that of the committed results."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from studies import robustness

from ser_lightning.report.robustness import pool_runs, robustness_table

DOCS = Path(__file__).parents[1] / "docs"
EMOTIONS = ["angry", "sad"]


def result(fold: int, *, clean: int, noisy: int) -> dict:
    """Return the content of a robustness.json: five speakers with ten clips of each emotion."""

    def entry(correct: int) -> dict:
        counts = [[correct + speaker % 2, correct] for speaker in range(5)]
        return {"uar": np.mean(counts) / 10, "accuracy": np.mean(counts) / 10, "interval": None, "correct": counts}

    levels = [{"level": 10, **entry(noisy)}]
    return {
        "emotions": EMOTIONS,
        "speakers": [f"{fold}{speaker}" for speaker in range(5)],
        "speaker_clips": [[10, 10]] * 5,
        "clips": 100,
        "clean": entry(clean),
        "conditions": {"white_noise": {"unit": "dB SNR", "values": {}, "levels": levels}},
    }


@pytest.fixture
def runs() -> dict:
    return {
        "corrected-paper": [result(fold, clean=8, noisy=6) for fold in (0, 1)],
        "corrected-none": [result(fold, clean=8, noisy=3) for fold in (0, 1)],
        "encoder": [result(fold, clean=9, noisy=8) for fold in (0, 1)],
    }


def test_augmentations_are_compared_at_every_level(runs):
    table = robustness.augmentation_table(runs)
    assert list(table.columns) == ["condition", "UAR (%) of none", "paper - none"]
    assert list(table.condition) == ["none", "white noise, 10 dB SNR"]
    assert list(table["UAR (%) of none"]) == ["82.0", "32.0"]
    assert [float(cell.split()[0]) for cell in table["paper - none"]] == [0, 30]


def test_worst_conditions_are_named(runs):
    table = robustness.worst_table(runs).set_index("system")
    assert table.loc["corrected", "1."] == "white noise 10 dB SNR (-20.0)"
    assert table.loc["encoder", "UAR (%)"] == "92.0"


def test_intervals_need_eight_speakers(runs):
    table = robustness_table({"encoder": pool_runs(runs["encoder"])})
    assert "95 % over speakers" in table
    few = robustness_table({"encoder": pool_runs(runs["encoder"][:1])})
    assert list(few.columns) == ["condition", "level", "UAR (%)", "change (points)"]


def test_page_of_robustness_names_what_is_missing(runs, tmp_path):
    path = tmp_path / "results" / "robustness.json"
    robustness.write(path, runs)
    assert robustness.main([str(tmp_path), "--docs", str(tmp_path), "--table"]) is None
    text = (tmp_path / "robustness.md").read_text()
    assert "200 test clips of 10 speakers" in text
    assert "Not measured yet: generalist, svm_egemaps, corrected-snr" in text
    assert (tmp_path / "figures" / "robustness-1.png").exists()
    without = copy.deepcopy(runs)
    del without["corrected-none"]
    with pytest.raises(ValueError, match="corrected-none has no results"):
        robustness.write(path, without)


def test_committed_page_is_that_of_the_committed_results(tmp_path):
    (tmp_path / "results").mkdir()
    content = (DOCS / "results" / "robustness.json").read_text()
    json.loads(content, parse_constant=pytest.fail)
    (tmp_path / "results" / "robustness.json").write_text(content)
    robustness.main(["outputs", "--docs", str(tmp_path), "--table", "corpus=ravdess"])
    assert (tmp_path / "robustness.md").read_text() == (DOCS / "robustness.md").read_text()
