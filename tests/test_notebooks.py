"""The notebooks in examples/ run from top to bottom and are stored without outputs."""

import json
import os
import sys
import time
from pathlib import Path

import matplotlib as mpl
import pytest

FOLDER = Path(__file__).parents[1] / "examples"
LIMIT = 120.0  # seconds of processor time
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_notebooks_have_no_outputs():
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mpl.use("agg")
    names: dict = {}
    before = sum(os.times()[:4])
    started = time.monotonic()
    for number, cell in enumerate(cells(path)):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)  # noqa: S102 - the cells are ours
    assert min(sum(os.times()[:4]) - before, time.monotonic() - started) < LIMIT
    CHECKS[path.stem](names)


def check_comparison(names: dict) -> None:
    assert len(names["results"]) == 4
    assert names["difference"].mean() == pytest.approx(-1.2, abs=0.05)  # docs/dropout.md
    assert set(names["report"]["differences"]) == {"p25"}


def check_leak(names: dict) -> None:
    leaks = {finding["name"] for finding in names["found"]["findings"] if finding["found"]}
    assert "near duplicates across subsets" in leaks
    assert not names["statement"]["leak"]


def check_prediction(names: dict) -> None:
    assert len(names["rows"]) == 6
    assert names["course"].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)


CHECKS = {
    "reproduce_and_compare": check_comparison,
    "explore_a_corpus": check_leak,
    "predict_a_long_recording": check_prediction,
}
