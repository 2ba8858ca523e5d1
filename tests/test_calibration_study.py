"""The study of calibration: its splits and its page."""

import csv

import pytest
from studies.calibration import MIXED, RANDOM, UNSEEN, page, tables, write_mixed_split

from ser_lightning.results import read_result
from ser_lightning.splits.split import read_split


def test_mixed_split_keeps_the_test_clips(trained, tmp_path):
    write_mixed_split(trained / "split.csv", tmp_path / "mixed.csv")
    before, after = read_split(trained / "split.csv"), read_split(tmp_path / "mixed.csv")
    assert after.test == before.test
    assert sorted((*after.train, *after.val)) == sorted((*before.train, *before.val))
    assert len(after.val) == round(0.2 * 45)
    write_mixed_split(trained / "split.csv", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "mixed.csv").read_bytes()


def test_tables_repeat_the_results(trained):
    result = read_result(trained)
    found = tables({RANDOM: {"a": result}, UNSEEN: {"b": result}, MIXED: {}})
    test = result["calibration"]["test"]
    assert list(found["calibration"].run) == ["a", "b"]
    assert found["calibration"]["ECE (%) before"][0] == f"{100 * test['before']['ece']:.1f}"
    assert found["rejection"]["reject 0"][0] == f"{100 * test['reject']['0']['error']:.1f}"
    covered, missed = (float(found["sets"][key][0]) for key in ("covered (%)", "less than 90 % by (points)"))
    assert covered + missed == pytest.approx(90, abs=0.11)
    text = page({RANDOM: {"a": result}, UNSEEN: {}, MIXED: {}}, command="x")
    assert len(list(csv.reader(text.splitlines()))) > 20
    assert "figures/calibration-after.png" in text
