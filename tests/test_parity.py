"""Errors, bounds and exit codes of ``make parity``."""

import numpy as np
import pytest

from tests import parity

ONES = np.ones((3, 162), np.float32)


def test_errors_are_relative_to_the_largest_value_of_a_block():
    other = ONES.copy()
    other[:, parity.BLOCKS["mel"].start] *= 10  # now the largest value of the block
    features = other.copy()
    features[2, parity.BLOCKS["mel"].stop - 1] = 2
    features[0, 0] = 0.75
    errors = parity.relative_errors(features, other)
    assert errors == pytest.approx({"zcr": 0.25, "chroma": 0, "mfcc": 0, "rms": 0, "mel": 0.1})


def test_different_number_of_frames_gives_infinite_error():
    assert set(parity.relative_errors(ONES, ONES[:2]).values()) == {np.inf}


def test_error_is_infinite_if_expected_block_is_zero():
    silent = np.zeros_like(ONES)
    assert set(parity.relative_errors(silent, silent).values()) == {0}
    assert set(parity.relative_errors(ONES, silent).values()) == {np.inf}


def test_nan_features_exceed_the_bound():
    assert not max(parity.worst_errors([(np.full_like(ONES, np.nan), ONES)]).values()) <= parity.FEATURE_ERROR


def test_worst_error_without_clips_is_infinite():
    assert set(parity.worst_errors([]).values()) == {np.inf}


def test_blocks_match_the_feature_names():
    assert parity.SETTINGS
    for option in parity.SETTINGS:
        names = parity.features_of(option).names
        for block, rows in parity.BLOCKS.items():
            assert all(name.split("_")[0] == block for name in names[rows])
    assert sum(rows.stop - rows.start for rows in parity.BLOCKS.values()) == 162


def test_missing_reference_root_is_reported(capsys):
    assert parity.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("parity: set REFERENCE_ROOT to the folder")


def test_incomplete_reference_root_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REFERENCE_ROOT", str(tmp_path))
    assert parity.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line


@pytest.mark.parametrize(("holds", "code", "verdict"), [(True, 0, "All within bounds."), (False, 1, "1 lines are out")])
def test_exit_code_matches_the_verdict(tmp_path, monkeypatch, capsys, holds, code, verdict):
    monkeypatch.setenv("REFERENCE_ROOT", str(tmp_path))
    monkeypatch.setattr(parity, "feature_lines", lambda _: iter([parity.bounded("a", "1", "2", holds)]))
    monkeypatch.setattr(parity, "weight_lines", lambda _: iter([parity.Line("b")]))
    assert parity.main() == code
    out = capsys.readouterr().out
    assert verdict in out
    assert "set RAVDESS_ROOT" in out
    assert ("BROKEN" in out) is not holds


@pytest.mark.parametrize(("difference", "broken"), [(1e-5, 0), (2e-4, 1), (np.nan, 1)])
def test_feature_error_out_of_bounds_is_reported(tmp_path, monkeypatch, difference, broken):
    other = ONES.copy()
    other[:, 5] += difference
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
def test_prediction_error_out_of_bounds_is_reported(tmp_path, monkeypatch, change, broken):
    got = parity.Predicted(correct={1: 155, 360: 228}, difference=1e-5, same=True)._replace(**change)
    monkeypatch.setattr(parity, "predict", lambda *_: got)
    assert sum(not line.holds for line in parity.weight_lines(tmp_path)) == broken
