import gzip
import json
import runpy
from pathlib import Path

import pytest

from ser_lightning.errors import InputError
from ser_lightning.report.export import export_runs
from ser_lightning.report.report import make_report
from ser_lightning.report.runs import read_runs

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
write_sweep, edit = made["write_sweep"], made["edit"]


def exported(sweep: Path, target: Path) -> Path:
    return export_runs(make_report(sweep).comparison.runs, sweep, target)


def test_report_of_export_equals_original_report(sweep: Path, tmp_path: Path) -> None:
    target = exported(sweep, tmp_path / "small")

    pages = []
    for folder in (sweep, target):
        make_report(folder).write()
        pages.append(
            [(folder / name).read_text().replace(str(folder), "x") for name in ("report.json", "report.md")]
            + [(folder / f"figures/{name}.png").read_bytes() for name in ("paired", "recall", "confusion-0")]
        )

    assert pages[0] == pages[1]


def test_export_is_small_and_holds_no_machine_data(sweep: Path, tmp_path: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r["config"].update(folder="/home/me/x", logger={"dir": "/home/me"}))
    target = exported(sweep, tmp_path / "small")

    files = sorted(
        path.relative_to(target / "dropout-p25/seed-1") for path in (target / "dropout-p25/seed-1").iterdir()
    )
    assert [str(path) for path in files] == ["predictions.csv.gz", "result.json"]
    assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) < 6 * 20_000
    text = (target / "dropout-p25/seed-1/result.json").read_text()
    for private in ("/home/me", "/data/", "/stores/", "machine", "overrides"):
        assert private not in text
    packed = (target / "dropout-p25/seed-1/predictions.csv.gz").read_bytes()
    assert gzip.decompress(packed).decode().splitlines()[0] == "utterance,speaker,subset,target,prediction"
    again = exported(sweep, tmp_path / "again")
    assert (again / "dropout-p25/seed-1/predictions.csv.gz").read_bytes() == packed


def test_export_is_idempotent(sweep: Path, tmp_path: Path) -> None:
    once = exported(sweep, tmp_path / "once")
    twice = exported(once, tmp_path / "twice")

    for path in sorted(once.rglob("*.*")):
        if path.is_file():
            assert (twice / path.relative_to(once)).read_bytes() == path.read_bytes()


def test_export_rounds_history(sweep: Path, tmp_path: Path) -> None:
    edit(sweep / "dropout-none/seed-0", lambda r: r["history"].update({"val/loss": [1.23456789, None, 2]}))

    target = exported(sweep, tmp_path / "small")

    assert json.loads((target / "dropout-none/seed-0/result.json").read_text())["history"]["val/loss"] == [
        1.2346,
        None,
        2,
    ]


def test_export_to_nonempty_folder_raises(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/old").touch()
    (tmp_path / "file").touch()

    for name in ("full", "file"):
        with pytest.raises(InputError, match=f"--export .*{name} is not an empty folder; give a new one"):
            exported(sweep, tmp_path / name)


def test_damaged_gzip_predictions_are_left_out(sweep: Path, tmp_path: Path) -> None:
    target = exported(sweep, tmp_path / "small")
    packed = target / "dropout-p25/seed-1/predictions.csv.gz"
    whole = packed.read_bytes()

    packed.write_bytes(whole[:-200])
    assert "predictions.csv.gz cannot be read" in read_runs(target)[1][0].reason
    packed.write_bytes(whole[:60] + b"x" * 40 + whole[100:])
    assert "predictions.csv.gz cannot be read" in read_runs(target)[1][0].reason
    packed.write_bytes(b"utterance,speaker")
    assert "predictions.csv.gz cannot be read" in read_runs(target)[1][0].reason
    packed.write_bytes(gzip.compress(gzip.decompress(whole)[:-30]))
    assert [item.path for item in read_runs(target)[1]] == ["dropout-p25/seed-1"]
