import json
import runpy
from pathlib import Path

import pytest

from ser_lightning.errors import InputError
from ser_lightning.report.runs import read_runs

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
write_run, edit = made["write_run"], made["edit"]


def only_reason(sweep: Path) -> str:
    runs, left_out = read_runs(sweep)
    assert len(runs) == 5
    assert [item.path for item in left_out] == ["dropout-p25/seed-1"]
    return left_out[0].reason


def test_read_runs_returns_all_runs_in_order(sweep: Path) -> None:
    runs, left_out = read_runs(sweep)

    assert [run.path for run in runs] == [f"dropout-{arm}/seed-{n}" for arm in ("none", "p25") for n in range(3)]
    assert left_out == []
    assert runs[4].seed == 1
    assert runs[4].confusion["test"].sum() == 360
    assert len({run.test_set for run in runs}) == 1


def test_read_runs_accepts_a_single_run_folder(sweep: Path) -> None:
    runs, _ = read_runs(sweep / "dropout-none/seed-0")

    assert [run.path for run in runs] == ["."]


def test_read_runs_skips_hidden_and_nested_folders(sweep: Path) -> None:
    write_run(sweep / ".trash", dropout="none", seed=9)
    write_run(sweep / "dropout-none/seed-0/old", dropout="none", seed=9)
    (sweep / "checkpoints").mkdir()

    runs, left_out = read_runs(sweep)

    assert len(runs) == 6
    assert left_out == [(".", "unfinished: no result.json")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": 1, "name"', "result.json is damaged: "),
        ("", "result.json is damaged: "),
        ("[1]", "result.json is damaged: not an object"),
        ('{"format": 2}', "format 2, this ser-report reads 1"),
        ("{}", "result.json lacks format"),
    ],
)
def test_damaged_result_is_left_out_with_reason(sweep: Path, text: str, reason: str) -> None:
    (sweep / "dropout-p25/seed-1/result.json").write_text(text)

    assert reason in only_reason(sweep)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.pop("seed"), "result.json lacks seed"),
        (lambda r: r.update(seed="1"), "expected seed to be int but got str"),
        (lambda r: r.update(seed=True), "expected seed to be int but got bool"),
        (lambda r: r["corpus"].pop("digest"), "result.json lacks corpus.digest"),
        (lambda r: r["metrics"].pop("test"), "result.json lacks metrics.test"),
        (lambda r: r["metrics"]["val"].pop("uar"), "result.json lacks metrics.val.uar"),
        (
            lambda r: r["metrics"]["test"].update(accuracy=0.9),
            r"test accuracy 0.9000, its predictions.csv gives 0.",
        ),
        (lambda r: r["metrics"]["test"].update(uar=float("nan")), "test uar nan"),
        (
            lambda r: r["confusion_matrix"]["test"][0].reverse(),
            "the test confusion matrix of result.json is not",
        ),
        (lambda r: r["audit"].pop("summary"), "result.json lacks audit.summary"),
        (lambda r: r["audit"]["findings"].append("leak"), "a finding of its audit is not one of name"),
        (lambda r: r.update(audit=[1]), "expected audit to be dict but got list"),
        (lambda r: r["seconds"].update(train="long"), "expected numbers of seconds"),
        (lambda r: r.update(emotions=r["emotions"][1:]), "'neutral' is missing or not among the emotions"),
    ],
)
def test_invalid_result_is_left_out_with_reason(sweep: Path, change, reason: str) -> None:
    edit(sweep / "dropout-p25/seed-1", change)

    assert reason in only_reason(sweep)


def test_unreadable_files_are_left_out_with_reason(sweep: Path) -> None:
    run = sweep / "dropout-p25/seed-1"
    predictions = run / "predictions.csv"
    whole = predictions.read_text()

    (run / "result.json").rename(run / "result")
    assert only_reason(sweep) == "unfinished: no result.json"
    (run / "result.json").mkdir()
    (run / ".hydra/config.yaml").touch()
    assert "result.json cannot be read: Is a directory" in only_reason(sweep)
    (run / "result.json").rmdir()
    (run / "result").rename(run / "result.json")

    predictions.write_bytes(b"utterance\xff")
    assert "predictions.csv cannot be read" in only_reason(sweep)
    predictions.write_text("".join(line for line in whole.splitlines(True) if ",val," not in line))
    assert "predictions.csv has no row of val" in only_reason(sweep)
    predictions.write_text(whole + whole.splitlines()[-1] + "\n")
    assert "holds a test utterance twice" in only_reason(sweep)
    predictions.unlink()
    assert "no predictions.csv" in only_reason(sweep)


def test_augmented_copies_are_distinct_and_duplicates_left_out(sweep: Path) -> None:
    predictions = sweep / "dropout-p25/seed-1/predictions.csv"
    header, *lines = predictions.read_text().splitlines()
    named = [line.replace(",", "," + ("noise" if number % 2 else "") + ",", 1) for number, line in enumerate(lines)]
    (first, other) = (number for number, line in enumerate(lines) if ",test," in line and number < 218)
    utterance = lines[first].split(",")[0]
    named[other] = f"{utterance},pitch+3,{lines[other].split(',', 1)[1]}"
    predictions.write_text("\n".join([header.replace(",", ",copy,", 1), *named]) + "\n")

    runs, left_out = read_runs(sweep)

    assert left_out == []
    (run,) = [run for run in runs if run.path == "dropout-p25/seed-1"]
    assert run.clips["test"].altered
    assert f"{utterance} pitch+3" in run.clips["test"].names
    assert run.test_set != runs[0].test_set
    assert not run.clips["test"].same_clips(runs[0].clips["test"])
    assert not runs[0].clips["test"].altered
    named[other] = named[first]
    predictions.write_text("\n".join([header.replace(",", ",copy,", 1), *named]) + "\n")
    assert "holds a test utterance twice" in only_reason(sweep)


def test_run_without_validation_metrics_is_read(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r["metrics"].update(val=None))

    runs, left_out = read_runs(sweep)

    assert (len(runs), left_out) == (6, [])


def test_folder_without_finished_runs_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent is not a folder"):
        read_runs(tmp_path / "absent")
    with pytest.raises(InputError, match="Found no run folder"):
        read_runs(tmp_path)
    for seed in range(7):
        (tmp_path / f"seed-{seed}/checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match=r"seed-0: unfinished: no result.json; .*; and 2 more\.$"):
        read_runs(tmp_path)


def test_synthetic_results_are_json_objects(sweep: Path) -> None:
    assert json.loads((sweep / "dropout-none/seed-0/result.json").read_text())["format"] == 1
