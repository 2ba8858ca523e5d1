import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ser_lightning.errors import InputError
from ser_lightning.report.document import markdown
from ser_lightning.report.report import Report, make_report

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
write_run, write_sweep, edit = made["write_run"], made["write_sweep"], made["edit"]


def text_of(report: Report) -> str:
    return markdown(report.document())


def set_accuracy(folder: Path, arm: str, seed: int, correct: int) -> None:
    """Rewrite the files of a run so that exactly ``correct`` test utterances are correct."""
    run = folder / f"dropout-{arm}/seed-{seed}"
    header, *lines = (run / "predictions.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    for number, row in enumerate([row for row in rows if row[2] == "test"]):
        row[4] = row[3] if number < correct else "calm" if row[3] != "calm" else "sad"
    (run / "predictions.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    pairs = [(row[3], row[4]) for row in rows if row[2] == "test"]

    def change(result) -> None:
        index = {emotion: number for number, emotion in enumerate(result["emotions"])}
        matrix = made["confusion_matrix"](*made["np"].array([[index[a], index[b]] for a, b in pairs]).T, 8)
        result["confusion_matrix"]["test"] = matrix.tolist()
        result["metrics"]["test"] = {name: made[name](matrix) for name in ("accuracy", "uar", "macro_f1")}

    edit(run, change)


def set_accuracies(folder: Path, arm: str, *correct: int) -> None:
    for seed, count in enumerate(correct):
        set_accuracy(folder, arm, seed, count)


def test_report_is_written_and_reproducible(sweep: Path) -> None:
    path = make_report(sweep).write()
    first = {file: file.read_bytes() for file in [*sweep.glob("report.*"), *sweep.glob("figures/*.png")]}
    assert make_report(sweep).write() == path == sweep / "report.html"

    assert {file.name for file in first} == {
        *("report.html", "report.md", "report.json", "paired.png", "loss.png", "uar.png", "recall.png"),
        *("confusion-0.png", "confusion-1.png", "confusion-1-less-0.png"),
    }
    assert {file: file.read_bytes() for file in first} == first
    text = (sweep / "report.md").read_text()
    for image in re.findall(r"\]\((.*?)\)", text):
        assert (sweep / image).is_file()
    assert f"ser-report {sweep}" in text
    assert "val 216, test 360" in text
    assert "commit: f00df00d" in text
    assert "it is not an accuracy" in text
    arms = json.loads((sweep / "report.json").read_text())["arms"]
    for arm in arms.values():
        assert arm["test/training_mode"]["mean"] == pytest.approx(arm["test/accuracy"]["mean"] - 1)
    assert "synthetic" not in text
    assert "Left out\n\nNothing." in text


def test_difference_with_interval_around_zero_is_not_claimed(sweep: Path) -> None:
    set_accuracies(sweep, "none", 234, 230, 238)
    set_accuracies(sweep, "p25", 236, 226, 240)

    # differences 2, -4, 2 of 360: mean 0, sd 0.962, t(0.975, 2) = 4.303
    assert make_report(sweep).answer == (
        "No difference shown: 0.0 points of test accuracy with dropout=p25 against none, 95 % interval -2.4 to 2.4 "
        "over 3 paired seeds; 7 seeds more would settle 1 point."
    )


@pytest.mark.parametrize(
    ("baseline", "answer"),
    [("none", "dropout=p25 is better than none by"), ("p25", "dropout=none is worse than p25 by")],
)
def test_significant_difference_is_claimed_with_caution(sweep: Path, baseline: str, answer: str) -> None:
    set_accuracies(sweep, "none", 200, 202, 204)
    set_accuracies(sweep, "p25", 236, 237, 242)

    # differences 36, 35, 38 of 360: mean 10.09, sd 0.424, half width 1.05
    report = make_report(sweep, baseline=baseline)

    assert report.answer == (
        f"{answer} 10.1 points of test accuracy, 95 % interval 9.0 to 11.1 over 3 paired seeds. "
        "Few seeds: repeat with more before relying on it."
    )
    assert any("Few seeds" in note for note in report.cautions)
    assert any("same 360 utterances" in note for note in report.cautions)


def test_equal_differences_give_no_claim(sweep: Path) -> None:
    set_accuracies(sweep, "none", 200, 210, 220)
    set_accuracies(sweep, "p25", 218, 228, 238)

    assert make_report(sweep).answer == (
        "No difference shown: 5.0 points of test accuracy with dropout=p25 against none at each of 3 paired seeds; "
        "all differences are equal, so their spread cannot be estimated."
    )


def test_one_seed_gives_no_interval(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=1)

    report = make_report(tmp_path)

    assert re.search(
        r"points of test accuracy with dropout=p25 against none at seed 0; one pair gives no interval\.$", report.answer
    )
    assert "| one pair gives no interval | fewer than 8 |" in text_of(report)


def test_single_arm_is_described_without_comparison(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    make_report(tmp_path).write()
    for seed in range(3):
        (tmp_path / f"dropout-none/seed-{seed}").rename(tmp_path / f".seed-{seed}")

    report = make_report(tmp_path)
    report.write()
    text = text_of(report)

    assert "Nothing to compare: p25 is the only value of dropout; its test accuracy is" in text
    assert "over 3 runs." in text
    assert "One arm only: no difference." in text
    assert "Power" not in text
    assert not (tmp_path / "figures/confusion-1.png").exists()


def test_arms_without_common_seed(tmp_path: Path) -> None:
    write_run(tmp_path, dropout="none", seed=0)
    write_run(tmp_path, dropout="p25", seed=1)

    with pytest.raises(InputError, match="share no seed, so nothing can be paired: none has seed 0; p25 has seed 1"):
        make_report(tmp_path)

    write_run(tmp_path, dropout="p50", seed=0)
    report = make_report(tmp_path)
    assert "No paired difference of dropout=p25 and none: the arms share no seed." in report.answer
    assert "| the arms share no seed |" in text_of(report)


def test_missing_seed_is_not_paired_and_is_listed(sweep: Path) -> None:
    (sweep / "dropout-p25/seed-1/result.json").unlink()

    report = make_report(sweep)
    text = text_of(report)

    assert "over 2 paired seeds" in report.answer
    assert any("Not every arm has seed 1 of none" in note for note in report.cautions)
    assert "1 run folder was left out" in text
    assert "| dropout-p25/seed-1 | unfinished: no result.json |" in text


def test_damaged_runs_are_listed_as_left_out(sweep: Path) -> None:
    result = sweep / "dropout-p25/seed-0/result.json"
    result.write_text(result.read_text()[:500])
    edit(sweep / "dropout-p25/seed-1", lambda r: r["metrics"]["test"].update(accuracy=0.99))

    text = text_of(make_report(sweep))

    assert "2 run folders were left out" in text
    assert re.search(r"\| dropout-p25/seed-0 \| result.json is damaged: ", text)
    assert re.search(r"\| dropout-p25/seed-1 \| result.json says test accuracy 0.9900, its predictions", text)


def test_each_arm_is_compared_with_the_baseline(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=("p25", "none", "p10"), seeds=2)

    report = make_report(tmp_path)
    written = json.loads(report.write().with_name("report.json").read_text())

    assert list(written["arms"]) == ["none", "p10", "p25"]
    assert list(written["differences"]) == ["p10", "p25"]
    assert "p10" in report.answer
    assert "p25" in report.answer
    assert any("2 arms are compared with none" in note for note in report.cautions)


def test_report_warns_about_synthetic_speech(tmp_path: Path) -> None:
    write_sweep(tmp_path, corpus__name="synthetic", study_metric=None, training_mode_metrics=None)

    text = text_of(make_report(tmp_path))

    assert re.search(r"^\*\*These numbers are of synthetic speech: .* nothing of human emotion\.\*\*$", text, re.M)
    assert "study's" not in text


def test_evaluation_mode_metrics_are_shown_if_present(tmp_path: Path) -> None:
    honest = {"test": {"accuracy": 0.5, "uar": 0.4}}
    write_sweep(tmp_path, training_mode_metrics=None, evaluation_mode_metrics=honest)

    path = make_report(tmp_path).write().with_suffix(".md")

    assert "| test accuracy in evaluation mode | study's test metric |" in path.read_text()
    assert "It counts the same predictions as the test accuracy." in path.read_text()
    assert "the same predictions by utterance" not in path.read_text()
    arms = json.loads(path.with_name("report.json").read_text())["arms"]
    assert all(arm["test/evaluation_mode"]["mean"] == 50 for arm in arms.values())


def test_older_runs_are_comparable_if_new_options_are_off(sweep: Path) -> None:
    off = {"training_mode": False, "update_statistics": False}
    for seed in range(3):
        edit(sweep / f"dropout-p25/seed-{seed}", lambda r: r["config"].update(evaluation=off))
    make_report(sweep)
    edit(sweep / "dropout-p25/seed-1", lambda r: r["config"].update(evaluation=off | {"training_mode": True}))
    with pytest.raises(InputError, match=r"differ in evaluation\.training_mode"):
        make_report(sweep)


def test_report_states_missing_leak_checks_of_older_runs(sweep: Path) -> None:
    for arm in ("none", "p25"):
        edit(sweep / f"dropout-{arm}/seed-0", lambda r: (r.pop("audit"), r.pop("seconds")))
    text = text_of(make_report(sweep))
    assert "2 of 6 runs were made before there was an audit: nothing is known" in text
    assert "| none | 3 | 8.5 | 101.5 | 220 |" in text  # mean over the two runs with timings

    for arm in ("none", "p25"):
        for seed in (1, 2):
            edit(sweep / f"dropout-{arm}/seed-{seed}", lambda r: r.pop("audit"))
    text = text_of(make_report(sweep))
    assert "6 of 6 runs were made before there was an audit" in text
    assert "| looked for |" not in text


def test_no_report_for_runs_with_different_max_epochs(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r["config"]["trainer"].update(max_epochs=40))

    with pytest.raises(InputError, match=r"trainer\.max_epochs: 80 and 40"):
        make_report(sweep).write()

    assert not (sweep / "report.md").exists()


def test_cautions_of_bundle_and_provenance(sweep: Path) -> None:
    for arm in ("none", "p25"):
        for seed in range(3):
            edit(sweep / f"dropout-{arm}/seed-{seed}", lambda r, arm=arm: r["choices"].update(experiment=arm))
    edit(sweep / "dropout-p25/seed-1", lambda r: r["git"].update(commit="beef", dirty=True))
    edit(sweep / "dropout-p25/seed-1", lambda r: r["versions"].update(torch="2.12.0"))
    edit(sweep / "dropout-p25/seed-1", lambda r: r.update(device="NVIDIA H200"))
    edit(sweep / "dropout-p25/seed-1", lambda r: r["corpus"].update(problems=[{"path": "a", "reason": "b"}]))
    predictions = sweep / "dropout-p25/seed-2/predictions.csv"
    tested = made["clip_names"]("test")[0]
    predictions.write_text(predictions.read_text().replace(tested, tested[:-2] + "99"))

    report = make_report(sweep, arm="experiment", baseline="none")
    text = "\n".join(report.cautions)

    assert "experiment changes 3 config keys at once" in text
    assert "made at 2 commits: beef, f00d" in text
    assert "1 of 6 runs were made with uncommitted changes" in text
    assert "several versions of torch: 2.11.0, 2.12.0" in text
    assert "several devices, each with a rounding of its own: 1 on NVIDIA H200, 5 on cpu." in text
    assert "1 files of the corpus" in text
    assert "different utterances at seed 2" in text
    assert report.command == f"ser-report {sweep} --arm experiment --baseline none"


def test_identical_arm_configs_are_cautioned(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=2)
    for arm in ("none", "p25"):
        for seed in range(2):
            edit(tmp_path / f"dropout-{arm}/seed-{seed}", lambda r: r["config"].update(dropout={}, model={}))

    assert "they may be the same experiment" in "\n".join(make_report(tmp_path).cautions)


def test_report_json_is_strict_and_holds_all_numbers(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r["metrics"]["train"].update(accuracy=float("nan")))
    written = json.loads(
        make_report(sweep).write().with_name("report.json").read_text(),
        parse_constant=pytest.fail,
    )

    accuracy = [run["test/accuracy"] for run in written["runs"] if run["arm"] == "none"]
    assert written["arms"]["none"]["test/accuracy"]["mean"] == pytest.approx(sum(accuracy) / 3)
    assert written["arms"]["p25"]["train/accuracy"]["n"] == 2
    assert written["differences"]["p25"]["test/accuracy"]["pairs"] == [0, 1, 2]


def test_report_does_not_import_torch() -> None:
    code = (
        "import sys, ser_lightning.report.report, ser_lightning.cli.report\n"
        "found = {'torch', 'pytorch_lightning', 'pandas', 'matplotlib.pyplot'} & sys.modules.keys()\n"
        "assert not found, found"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_runs_without_git_have_unknown_commit(sweep: Path) -> None:
    for arm in ("none", "p25"):
        for seed in range(3):
            edit(sweep / f"dropout-{arm}/seed-{seed}", lambda r: r.update(git=None))

    assert "commit: unknown" in text_of(make_report(sweep))
