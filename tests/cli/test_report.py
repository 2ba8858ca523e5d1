"""``ser-report``: its output, its files and its errors."""

import json
from pathlib import Path

import pytest
from tests.report.conftest import write_sweep

from ser_lightning.cli.report import main
from ser_lightning.errors import InputError

pytestmark = pytest.mark.usefixtures("few_draws")


def end(*words: str) -> int | str | None:
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as raised:
        main(list(words))
    return raised.value.code


def run(*words: str) -> None:
    assert end(*words) == 0


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("outputs"), seeds=2)


def test_report_prints_answer_arms_and_path(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(sweep))

    lines = capsys.readouterr().out.splitlines()
    assert "with dropout=p25 against none" in lines[0] or "dropout=p25 is" in lines[0]
    assert any("test accuracy" in line and "±" in line for line in lines)
    assert any("none" in line and "p25" in line and "dropout" in line for line in lines)
    assert lines[-1] == str(sweep / "report.html")
    assert (sweep / "report.html").is_file()


def test_json_output_equals_the_report_file(sweep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(str(sweep), "--json", "--arm", "model.dropout", "--baseline", "0.25", "--output", str(tmp_path))

    found = json.loads(capfd.readouterr().out)
    assert found == json.loads((tmp_path / "report.json").read_text())
    assert found["arm"] == "model.dropout"
    assert list(found["differences"]) == ["0.0"]


def test_synthetic_speech_and_excluded_runs_are_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = write_sweep(tmp_path / "sweep", seeds=2, corpus__name="synthetic")
    result = sweep / "dropout-p25/seed-1/result.json"
    result.write_text(result.read_text()[:2000])

    run(str(sweep), "--export", str(tmp_path / "small"), "-o", str(tmp_path / "out"))

    captured = capsys.readouterr()
    assert captured.err.startswith("ser-report: left out dropout-p25/seed-1: result.json is damaged: ")
    assert captured.err.count("\n") == 1
    assert "synthetic speech" in captured.out.splitlines()[0]
    assert "1 run folder was left out" in captured.out
    assert captured.out.splitlines()[-1] == str(tmp_path / "out" / "report.html")
    assert not (sweep / "report.html").exists()
    exported = sorted(
        path.parent.relative_to(tmp_path).as_posix() for path in (tmp_path / "small").rglob("result.json")
    )
    assert exported == [f"small/dropout-{run}" for run in ("none/seed-0", "none/seed-1", "p25/seed-0")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arm", "dropuot"], "did you mean 'dropout'?"),
        (["--baseline", "p26"], "--baseline p26 is not an arm of dropout; the arms are none, p25."),
        (["--output", "-"], "give a folder"),
        (["--output", "/proc/report"], "/proc/report cannot be written"),
        (["--export", "/proc/runs"], "/proc/runs cannot be written"),
    ],
)
def test_invalid_arguments_give_a_one_line_error(
    sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert end(str(sweep), *arguments) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ser-report: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_full_error_raises_the_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    with pytest.raises(InputError, match="no finished run"):
        run(str(tmp_path))


def test_help_lists_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert end("--help") == 0

    out = capsys.readouterr().out
    assert all(option in out for option in ("SWEEP", "--arm", "--baseline", "--output", "--export", "--json"))


def test_unknown_arguments_are_usage_errors(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], [str(sweep), "arm=dropout"], [str(sweep), "--arms", "dropout"]):
        assert end(*words) == 2
    assert capsys.readouterr().out == ""
