import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.report.conftest import edit, write_run

import ser_lightning
from ser_lightning.errors import InputError
from ser_lightning.report.predictions import read_predictions
from ser_lightning.report.runs import read_results, read_runs

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def only_reason(sweep: Path) -> str:
    runs, predictions, left_out = read_runs(sweep)
    assert len(runs) == predictions.run.nunique() == 5
    assert [item.path for item in left_out] == ["dropout-p25/seed-1"]
    return left_out[0].reason


def test_read_runs_returns_all_runs_in_order(sweep: Path) -> None:
    runs, predictions, left_out = read_runs(sweep)

    assert list(runs.index) == [f"dropout-{arm}/seed-{n}" for arm in ("none", "p25") for n in range(3)]
    assert left_out == []
    assert runs.seed.tolist() == [0, 1, 2] * 2
    assert (
        runs["test/accuracy"].iloc[4]
        == 100 * json.loads((sweep / runs.index[4] / "result.json").read_text())["metrics"]["test"]["accuracy"]
    )
    assert runs.confusion.iloc[4]["test"].sum() == 360
    assert len({sets["test"] for sets in runs.clip_sets}) == 1
    assert (predictions.groupby("run").subset.value_counts() == [360, 216] * 6).all()


def test_read_runs_accepts_a_single_run_folder(sweep: Path) -> None:
    assert list(read_runs(sweep / "dropout-none/seed-0").runs.index) == ["."]


def test_read_runs_skips_hidden_and_nested_folders(sweep: Path) -> None:
    write_run(sweep / ".trash", dropout="none", seed=9)
    write_run(sweep / "dropout-none/seed-0/old", dropout="none", seed=9)
    (sweep / "checkpoints").mkdir()

    runs, _, left_out = read_runs(sweep)

    assert len(runs) == 6
    assert left_out == [(".", "unfinished: no result.json")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": 1, "name"', "result.json is damaged"),
        ("", "result.json is damaged"),
        ("[1]", "result.json is damaged"),
        ('{"format": 2}', "has format 2, this ser-report reads 1"),
        ("{}", "result.json lacks format"),
    ],
)
def test_damaged_result_is_left_out_with_reason(sweep: Path, text: str, reason: str) -> None:
    (sweep / "dropout-p25/seed-1/result.json").write_text(text)

    assert reason in only_reason(sweep)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.pop("seed"), "lacks seed"),
        (lambda r: r.update(seed="1"), "seed to be int but got str"),
        (lambda r: r.update(seed=True), "seed to be int but got bool"),
        (lambda r: r["corpus"].pop("digest"), "lacks corpus.digest"),
        (lambda r: r["metrics"].pop("test"), "lacks metrics.test"),
        (lambda r: r["metrics"]["val"].pop("uar"), "lacks metrics.val.uar"),
        (lambda r: r["metrics"]["test"].update(accuracy=0.9), "test accuracy 0.9000, its predictions.csv gives 0."),
        (lambda r: r["metrics"]["test"].update(uar=float("nan")), "test uar nan"),
        (lambda r: r["confusion_matrix"]["test"][0].reverse(), "test confusion matrix"),
        (lambda r: r.pop("audit"), "lacks audit"),
        (lambda r: r["audit"].pop("summary"), "lacks audit.summary"),
        (lambda r: r["audit"]["findings"].append("leak"), "audit finding"),
        (lambda r: r.update(audit=[1]), "audit to be dict but got list"),
        (lambda r: r["seconds"].update(train="long"), "seconds"),
        (lambda r: r.update(emotions=r["emotions"][1:]), "'neutral' in target"),
    ],
)
def test_invalid_result_is_left_out_with_reason(sweep: Path, change, reason: str) -> None:
    edit(sweep / "dropout-p25/seed-1", change)

    assert reason in only_reason(sweep)


def test_unreadable_result_is_left_out_with_reason(sweep: Path) -> None:
    run = sweep / "dropout-p25/seed-1"

    (run / "result.json").unlink()
    assert only_reason(sweep) == "unfinished: no result.json"
    (run / "result.json").mkdir()
    assert "result.json cannot be read: Is a directory" in only_reason(sweep)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: b"utterance\xff", "cannot be read"),
        (lambda text: b"", "cannot be read"),
        (lambda text: text.replace(b"speaker", b"actor", 1), "lacks the column speaker"),
        (lambda text: text.replace(b"neutral,", b"dull,"), "'dull'"),
        (lambda text: text[: text.rindex(b"\n", 0, -1)] + b"\nlast\n", "without utterance"),
        (lambda text: b"\n".join(line + b",1,2" for line in text.splitlines()[1:]), "lacks the column utterance"),
        (
            lambda text: b"\n".join(line for line in text.splitlines() if b",val," not in line),
            "predictions.csv has no row of val",
        ),
        (lambda text: text + text.splitlines()[1], "twice"),
    ],
)
def test_damaged_predictions_are_left_out_with_reason(sweep: Path, change, reason: str) -> None:
    path = sweep / "dropout-p25/seed-1/predictions.csv"
    path.write_bytes(change(path.read_bytes()))

    assert reason in only_reason(sweep)
    packed = path.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(path.read_bytes())[:-10])
    path.unlink()
    assert "predictions.csv.gz cannot be read" in only_reason(sweep)
    packed.unlink()
    assert "no predictions.csv" in only_reason(sweep)


def test_augmented_copies_are_distinct_clips(sweep: Path) -> None:
    path = sweep / "dropout-p25/seed-1/predictions.csv"
    header, first, *lines = path.read_text().splitlines()
    utterance = first.split(",")[0]
    number = next(number for number, line in enumerate(lines) if first.split(",")[2] in line.split(","))
    lines[number] = ",".join([utterance, *lines[number].split(",")[1:]])
    named = [f"{header},copy", f"{first},", *(f"{line},pitch+3" for line in lines)]
    path.write_text("\n".join(named) + "\n")

    runs, predictions, left_out = read_runs(sweep)

    assert left_out == []
    own = predictions[(predictions.run == "dropout-p25/seed-1") & (predictions.utterance == utterance)]
    assert sorted(own["copy"]) == ["", "pitch+3"]
    assert runs.clip_sets["dropout-p25/seed-1"]["test"] != runs.clip_sets["dropout-p25/seed-0"]["test"]


def test_run_without_validation_metrics_is_read(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r["metrics"].update(val=None))

    runs, _, left_out = read_runs(sweep)

    assert (len(runs), left_out) == (6, [])
    assert runs["val/uar"].isna().sum() == 1


def test_folder_without_finished_runs_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent is not a folder"):
        read_runs(tmp_path / "absent")
    with pytest.raises(InputError, match="no run folder"):
        read_runs(tmp_path)
    for seed in range(7):
        (tmp_path / f"seed-{seed}/checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match=r"seed-0: unfinished: .*; and 2 more\.$"):
        read_runs(tmp_path)


def test_read_results_has_a_row_per_run_and_a_column_per_swept_key(sweep: Path) -> None:
    write_run(sweep, dropout="p25", seed=3, config__data={"batch_size": [1, 2]})
    results = read_results(sweep)

    assert len(results) == 7
    assert results.columns[:5].tolist() == ["path", "name", "run_id", "seed", "corpus.root"]
    assert {"dropout.lstm", "model.dropout", "data.batch_size"} <= set(results.columns)
    assert {"trainer.max_epochs", "fold"} & set(results.columns) == set()
    result = json.loads((sweep / results.path[1] / "result.json").read_text())
    assert results["test/uar"][1] == result["metrics"]["test"]["uar"]
    assert results["train/loss"][1] == 0.1
    assert "fold" in read_results(RESULTS / "dropout" / "speakers")


def test_read_predictions_keeps_probabilities(sweep: Path) -> None:
    predictions = read_predictions(sweep / "dropout-none/seed-0")

    assert len(predictions) == 576
    assert predictions.subset.unique().tolist() == ["test", "val"]
    assert predictions["happy"].between(0, 1).all()
    with pytest.raises(InputError, match=str(sweep)):
        read_predictions(sweep)


def test_public_functions_are_imported_on_first_use() -> None:
    code = (
        "import sys, time\nstart = time.perf_counter()\nimport ser_lightning as ser\n"
        "took = time.perf_counter() - start\n"
        "assert took < 0.5, took\n"
        "assert not {'pandas', 'torch', 'numpy'} & sys.modules.keys()\n"
        "ser.read_results, ser.read_predictions\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(ser_lightning.__all__) <= set(dir(ser_lightning))
    with pytest.raises(AttributeError, match="absent"):
        getattr(ser_lightning, "absent")  # noqa: B009
