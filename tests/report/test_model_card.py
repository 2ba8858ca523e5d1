"""Model cards of runs."""

import re

import pandas as pd
import pytest
import yaml

from ser_lightning.report.model_card import metrics_table
from ser_lightning.report.predictions import load_predictions
from ser_lightning.results import read_result


@pytest.fixture(scope="module")
def card(trained) -> tuple[dict, str]:
    text = (trained / "MODEL_CARD.md").read_text(encoding="utf-8")
    _, metadata, page = text.split("---\n", 2)
    return yaml.safe_load(metadata), page


def cells(page: str, first: str) -> list[list[str]]:
    """Return the cells of the rows of a table whose head begins with a cell."""
    lines = page[page.index(f"| {first} |") :].split("\n\n", maxsplit=1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_metadata_is_that_of_a_model_hub(trained, card):
    metadata, _ = card
    result = read_result(trained)
    assert metadata["pipeline_tag"] == "audio-classification"
    assert metadata["library_name"] == "ser_lightning"
    assert metadata["datasets"] == [result["corpus"]["name"]]
    ((found,),) = [entry["results"] for entry in metadata["model-index"]]
    values = {metric["type"]: metric["value"] for metric in found["metrics"]}
    assert values["uar"] == pytest.approx(result["metrics"]["test"]["uar"], abs=1e-4)
    assert metadata["metrics"] == list(values)


def test_tables_repeat_the_result(trained, card):
    _, page = card
    result = read_result(trained)
    head, _, *rows = cells(page, "subset")
    test_uar = next(row for row in rows if row[0] == "test" and row[2] == "UAR")
    assert test_uar[head.index("%")] == f"{100 * result['metrics']['test']['uar']:.1f}"
    _, _, *emotions = cells(page, "emotion")
    assert [row[0] for row in emotions] == result["emotions"]
    assert sum(int(row[1]) for row in emotions) == result["counts"]["test"]
    temperature = result["calibration"]["fitted"]["temperature"]
    assert f"temperature {temperature:.3f}" in page
    speakers = load_predictions(trained).query("subset == 'test'").speaker.unique()
    _, _, *groups = cells(page[page.index("All groups") :], "by")
    assert sorted(row[1] for row in groups if row[0] == "speaker") == sorted(speakers)
    assert {"gender", "statement", "intensity"} <= {row[0] for row in groups}


def test_card_names_the_leaks_and_the_law_and_no_folder(trained, card):
    _, page = card
    result = read_result(trained)
    for found in result["audit"]["findings"]:
        assert (f"- {found['severity']}: {found['sentence']}" in page) == found["found"]
    for article in ("2024/1689", "Article 5(1)(f)", "Article 50(3)"):
        assert article in page
    assert str(trained.parents[2]) not in page
    assert "synthetic speech" in page
    assert not re.search(r"[a-z]- ", page)  # every list item is a line


def test_intervals_over_speakers_need_eight(tmp_path):
    emotions = ["angry", "sad"]
    rows = [
        {"subset": "test", "speaker": f"{speaker:02}", "gender": "", "target": target, "prediction": prediction}
        for speaker in range(9)
        for number, target in enumerate(emotions * 6)
        for prediction in [target if number < 6 + speaker % 3 else "sad"]
    ]
    predictions = pd.DataFrame(rows)
    share = float((predictions.target == predictions.prediction).mean())
    result = {"emotions": emotions, "metrics": {"test": {"accuracy": share, "uar": share, "macro_f1": share}}}
    accuracy = metrics_table(result, predictions).iloc[0]
    low, high = map(float, accuracy["95 % over speakers"].split(" to "))
    assert low < 100 * share < high
    assert low < high - 1
    few = metrics_table(result, predictions[predictions.speaker < "07"]).iloc[0]
    assert few["95 % over speakers"] == "-"
