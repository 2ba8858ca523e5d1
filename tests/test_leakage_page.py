"""The numbers of docs/leakage.md are those of the stored results."""

import json
import re
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import pytest

from ser_lightning.report.statistics import paired_difference

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """Habit -> its cell with the difference."""
    lines = re.findall(
        r"^\| \[([^\]]+)\]\(#[\w'-]+\) \|[^|]*\| ([^|]*) \|", (DOCS / "leakage.md").read_text(), re.MULTILINE
    )
    return dict(lines)


def scores(name: str) -> dict[str, Any]:
    return json.loads((DOCS / f"results/{name}.json").read_text())["scores"]


def uar(score: dict[str, Any]) -> dict[str, float]:
    return {seed: values["uar"] for seed, values in score["values"].items()}


def difference(one: dict[str, float], other: dict[str, float]) -> float:
    return mean(one[key] - other[key] for key in one.keys() & other.keys())


def test_every_row_leads_to_a_section() -> None:
    text = (DOCS / "leakage.md").read_text()

    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^## (.*)$", text, re.MULTILINE)
    }
    links = re.findall(r"\]\(#([\w'-]+)\)", text)
    assert len(links) == 8
    assert set(links) <= anchors


def test_shared_speakers_over_all_systems(rows) -> None:
    found = scores("systems")
    systems = {name.partition("/")[0] for name in found}
    gains = [difference(uar(found[f"{name}/random"]), uar(found[f"{name}/emobox"])) for name in systems]

    cell = rows["the same speakers on both sides"]
    assert cell == f"{median(gains):+.1f}, median of {len(gains)} systems, from {min(gains):+.1f} to {max(gains):+.1f}"


def test_takes_and_sentences(rows) -> None:
    found = {name: uar(score)["0"] for name, score in scores("protocols").items()}

    assert rows["the other take of a test utterance in training"] == f"{found['random'] - found['take']:+.1f}"
    assert rows["the same sentences on both sides"] == f"{found['speaker'] - found['speaker_statement']:+.1f}"


def test_copies_before_the_split(rows) -> None:
    found = scores("systems")
    kaggle, drcnn = (
        difference(uar(found[f"{name}/published"]), uar(found[f"{name}/random"])) for name in ("kaggle_cnn", "drcnn")
    )

    own = scores("leakage")
    svm = difference(uar(own["copies_first"]), uar(own["copies_after"]))
    assert rows["augmentation before the split"] == f"{kaggle:+.1f}, {drcnn:+.1f} and {svm:+.1f}"


def test_measurements_of_this_page(rows) -> None:
    found = {name: uar(score) for name, score in scores("leakage").items()}
    text = " ".join((DOCS / "leakage.md").read_text().split())

    doubled = paired_difference(*({int(k): v for k, v in found[name].items()} for name in ("doubled", "single")))
    low, high = doubled.interval
    assert rows["every recording twice in the corpus"] == f"{doubled.mean:+.1f} ({low:.1f} to {high:.1f})"
    folds = mean(found["emobox"].values()) - mean(found["speaker"].values())
    assert rows["EmoBox's folds of EmoDB"] == f"{folds:+.1f}"
    for name, values in found.items():
        spread = f"{mean(values.values()):.1f} ± {stdev(values.values()):.1f}"
        assert spread in text, name
