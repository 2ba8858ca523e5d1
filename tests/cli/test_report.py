import json
from pathlib import Path

import pytest
from tests.report.conftest import write_sweep

from ser_lightning.cli.report import main
from ser_lightning.errors import InputError


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


def test_arm_and_baseline_accept_config_keys_and_values(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(sweep), "--arm", "model.dropout", "--baseline", "0.25")

    out = capsys.readouterr().out
    assert "with model.dropout=0.0 against 0.25" in out or "model.dropout=0.0 is" in out


def test_synthetic_speech_is_stated_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path, seeds=1, corpus__name="synthetic")

    run(str(tmp_path))

    assert "synthetic speech" in capsys.readouterr().out.splitlines()[0]


def test_report_of_exported_runs_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep, small, out = write_sweep(tmp_path / "sweep", seeds=1), tmp_path / "small", tmp_path / "out"

    run(str(sweep), "--export", str(small), "--output", str(out))
    first = capsys.readouterr().out
    assert first.splitlines()[-1] == str(out / "report.html")
    assert not (sweep / "report.html").exists()
    assert sorted(path.name for path in small.iterdir()) == ["dropout-none", "dropout-p25"]
    run(str(small), "-o", str(out))

    assert capsys.readouterr().out == first
    assert not (small / "report.html").exists()


def test_excluded_runs_are_listed_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = write_sweep(tmp_path, seeds=2)
    result = sweep / "dropout-p25/seed-1/result.json"
    result.write_text(result.read_text()[:2000])

    run(str(sweep))

    captured = capsys.readouterr()
    assert captured.err.startswith("ser-report: left out dropout-p25/seed-1: result.json is damaged: ")
    assert captured.err.count("\n") == 1
    assert "1 run folder was left out" in captured.out


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


def test_json_output_equals_the_report_file(sweep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(str(sweep), "--json", "--output", str(tmp_path))

    found = json.loads(capfd.readouterr().out)
    assert found == json.loads((tmp_path / "report.json").read_text())
    assert found["arm"] == "dropout"
