"""The table of ``make parity`` says what is missing and ends with 1 when a bound is broken."""

import numpy as np
import pytest

from tests import parity

ONES = np.ones((162, 3), np.float32)


def test_an_error_is_relative_to_its_block():
    other = ONES.copy()
    other[parity.BLOCKS["mel"].start] *= 10  # the largest of the block from now on
    features = other.copy()
    features[parity.BLOCKS["mel"].stop - 1, 2] = 2
    features[0, 0] = 0.75
    errors = parity.relative_errors(features, other)
    assert errors == pytest.approx({"zcr": 0.25, "chroma": 0, "mfcc": 0, "rms": 0, "mel": 0.1})


def test_another_number_of_frames_is_never_near():
    assert set(parity.relative_errors(ONES, ONES[:, :2]).values()) == {np.inf}


def test_where_nothing_is_expected_only_nothing_is_near():
    silent = np.zeros_like(ONES)
    assert set(parity.relative_errors(silent, silent).values()) == {0}
    assert set(parity.relative_errors(ONES, silent).values()) == {np.inf}


def test_not_a_number_is_never_near():
    assert not max(parity.worst_errors([(np.full_like(ONES, np.nan), ONES)]).values()) <= parity.FEATURE_ERROR


def test_the_worst_of_no_clip_is_no_success():
    assert set(parity.worst_errors([]).values()) == {np.inf}


def test_the_blocks_are_those_of_the_features():
    assert parity.SETTINGS
    for option in parity.SETTINGS:
        names = parity.features_of(option).names
        for block, rows in parity.BLOCKS.items():
            assert all(name.split("_")[0] == block for name in names[rows])
    assert sum(rows.stop - rows.start for rows in parity.BLOCKS.values()) == 162


def test_without_a_reference_it_says_what_to_set(capsys):
    assert parity.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("parity: set REFERENCE_ROOT to the folder")


def test_a_reference_that_lacks_its_files_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REFERENCE_ROOT", str(tmp_path))
    assert parity.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line


@pytest.mark.parametrize(("holds", "code", "verdict"), [(True, 0, "All within bounds."), (False, 1, "1 lines are out")])
def test_the_exit_code_is_the_verdict(tmp_path, monkeypatch, capsys, holds, code, verdict):
    monkeypatch.setenv("REFERENCE_ROOT", str(tmp_path))
    monkeypatch.setattr(parity, "feature_lines", lambda _: iter([parity.bounded("a", "1", "2", holds)]))
    monkeypatch.setattr(parity, "weight_lines", lambda _: iter([parity.Line("b")]))
    assert parity.main() == code
    out = capsys.readouterr().out
    assert verdict in out
    assert "set RAVDESS_ROOT" in out
    assert ("BROKEN" in out) is not holds


@pytest.mark.parametrize(("difference", "broken"), [(1e-5, 0), (2e-4, 1), (np.nan, 1)])
def test_a_feature_out_of_bounds_breaks_its_line(tmp_path, monkeypatch, difference, broken):
    other = ONES.copy()
    other[5] += difference
    monkeypatch.setattr(parity, "pairs_with_reference", lambda *_: [(ONES, ONES)])
    monkeypatch.setattr(parity, "pairs_with_librosa", lambda *_: [(ONES, ONES), (other, ONES)])
    assert sum(not line.holds for line in parity.feature_lines(tmp_path)) == broken


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, 0),
        ({"correct": {1: 154, 360: 228}}, 1),
        ({"correct": {1: 156, 360: 227}}, 2),
        ({"difference": 0.002}, 1),
        ({"difference": np.nan}, 1),
        ({"same": False}, 1),
    ],
)
def test_a_prediction_out_of_bounds_breaks_its_line(tmp_path, monkeypatch, change, broken):
    got = parity.Predicted(correct={1: 155, 360: 228}, difference=1e-5, same=True)._replace(**change)
    monkeypatch.setattr(parity, "predict", lambda *_: got)
    assert sum(not line.holds for line in parity.weight_lines(tmp_path)) == broken
