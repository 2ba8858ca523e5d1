"""Calibration in reports."""

import shutil

import pytest
from tests.report.conftest import edit, write_sweep

from ser_lightning.report.report import make_report
from ser_lightning.results import read_result


@pytest.fixture(scope="module")
def calibration(trained) -> dict:
    return read_result(trained)["calibration"]


@pytest.mark.slow
def test_report_shows_calibration_if_all_runs_have_it(calibration, few_draws, tmp_path):
    sweep = write_sweep(tmp_path, seeds=2, calibration=calibration)
    page = make_report(sweep).write()
    text = page.with_suffix(".md").read_text()
    assert "## Calibration" in text
    assert f"| {calibration['fitted']['temperature']:.2f} |" in text
    assert f"| {100 * calibration['test']['after']['ece']:.1f} |" in text
    for name in ("reliability-before", "reliability-after", "risk"):
        assert (sweep / "figures" / f"{name}.png").stat().st_size > 5000
        assert f"figures/{name}.png" in text
    edit(sweep / "dropout-none" / "seed-0", lambda result: result.pop("calibration"))
    shutil.rmtree(sweep / "dropout-p25" / "seed-1")
    text = make_report(sweep).write().with_suffix(".md").read_text()
    assert "## Calibration" not in text
    assert not list((sweep / "figures").glob("reliability-*"))
