"""The study of fairness: its tables, and that its page is that of the committed results."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import fairness

from ser_lightning.report.fairness import fairness as fairness_of
from ser_lightning.report.fairness_tables import comparisons_table, groups_table

DOCS = Path(__file__).parents[1] / "docs"
EMOTIONS = ["angry", "sad"]


def test_tables_of_fairness_survive_the_file(tmp_path):
    generator = np.random.default_rng(0)
    clips = pd.DataFrame(
        [
            {"utterance": f"{s}-{n}", "copy": "", "speaker": f"{s:02}", "gender": ("female", "male")[s % 2]}
            | {"statement": "ab"[n % 2], "target": EMOTIONS[n // 10], "prediction": generator.choice(EMOTIONS)}
            for s in range(20)
            for n in range(20)
        ]
    )
    found = fairness_of(clips, EMOTIONS)
    fairness.write(tmp_path / "f.json", {"encoder": found})
    again = fairness.read(tmp_path / "f.json")["encoder"]
    assert groups_table(again).equals(groups_table(found))
    assert comparisons_table(again).equals(comparisons_table(found))
    assert fairness.answer({"encoder": again}) == "- `encoder`: no difference."
    text = fairness.page({"encoder": again}, command="x")
    assert "are pooled, 400 in all" in " ".join(text.split())


def test_older_predictions_get_the_annotation_of_the_file_names():
    clips = fairness.annotated(pd.DataFrame({"utterance": ["03-01-06-02-01-02-05"], "intensity": [""]}))
    assert clips.loc[0, ["gender", "statement", "intensity", "age"]].tolist() == ["male", "01", "strong", ""]


def test_committed_page_is_that_of_the_committed_results(tmp_path):
    (tmp_path / "results").mkdir()
    content = (DOCS / "results" / "fairness.json").read_text()
    json.loads(content, parse_constant=pytest.fail)
    (tmp_path / "results" / "fairness.json").write_text(content)
    fairness.main(["outputs", "--docs", str(tmp_path), "--table", "corpus=ravdess"])
    assert (tmp_path / "fairness.md").read_text() == (DOCS / "fairness.md").read_text()
