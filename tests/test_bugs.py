"""Effects of the study's bugs, on synthetic result files with differences computed by hand."""

import json
import re
import shutil
from pathlib import Path

import pytest
from studies import bugs, study
from studies.bugs import BASES, BUGS, EVALUATED, RECOMPUTED, TRAINED, read_effects, write

from ser_lightning.errors import InputError
from tests.configs import composed
from tests.report.conftest import edit, set_accuracy, write_run
from tests.test_conf import BUGS as SWITCHES
from tests.test_conf import value

HERE = Path(__file__).parent
BY_NAME = {bug.name: bug for bug in BUGS}


def place(folder: Path, base: str, arm: str, *correct: int) -> None:
    """Write one run per seed with the given numbers of correct test clips, out of 360.

    Every 15 consecutive clips hold the classes in proportion, so that counts divisible by 15 give equal recalls.
    """
    for seed, count in enumerate(correct):
        made = write_run(folder, dropout="none", seed=seed)
        set_accuracy(folder, "none", seed, count)
        (folder / base / arm).mkdir(parents=True, exist_ok=True)
        made.rename(folder / base / arm / f"seed-{seed}")
    shutil.rmtree(folder / "dropout-none")


def place_evaluated(folder: Path, base: str, name: str, *accuracy: float, **changes) -> None:
    for seed, share in enumerate(accuracy):
        config: dict = {}
        for word in BY_NAME[name].overrides(base):
            key, _, text = word.partition("=")
            *parents, last = key.split(".")
            node = config
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = {"true": True, "false": False}.get(text, text)
        metrics = {"test": {"accuracy": share, "uar": share - 0.01}}
        path = folder / base / name / f"seed-{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"digest": "00", "config": config, "metrics": metrics} | changes))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Results of both base experiments over three seeds, and one bug of each kind."""
    place(tmp_path, "released", "base", 225, 240, 210)
    place(tmp_path, "corrected", "base", 240, 240, 255)
    place(tmp_path, "released", "padding", 240, 240, 240)
    place(tmp_path, "corrected", "padding", 240, 240, 255)
    place_evaluated(tmp_path, "released", "training-mode", 0.625, 0.65, 0.60)
    return tmp_path


def of(found, base: str, name: str):
    (one,) = [each.found for each in found if (each.base, each.bug.name) == (base, name)]
    return one


def test_effect_is_the_paired_difference_by_seed(folder):
    effects, bases, runs, _ = read_effects(folder, seeds=3)
    assert len(runs) == 12
    assert bases["released"][0] == {"accuracy": 62.5, "uar": 62.5}
    found = of(effects, "released", "padding")
    # 15, 0 and 30 clips of 360: 4.17, 0 and 8.33 points, sd 4.17; t(0.975, 2) = 4.303, half 4.303 * 4.17 / sqrt(3)
    for name in ("accuracy", "uar"):
        assert found[name].differences == pytest.approx((100 * 15 / 360, 0, 100 * 30 / 360))
        assert found[name].mean == pytest.approx(4.1667, abs=1e-4)
        assert found[name].interval == pytest.approx((4.1667 - 10.3505, 4.1667 + 10.3505), abs=1e-3)
    # Accuracies from ser-evaluate minus those of the same runs: 62.5 - 62.5, 65 - 66.67, 60 - 58.33.
    found = of(effects, "released", "training-mode")
    assert found["accuracy"].differences == pytest.approx((0, -1.6667, 1.6667), abs=1e-4)
    assert found["uar"].differences == pytest.approx((-1, -2.6667, 0.6667), abs=1e-4)


def test_arithmetic_is_recomputed_without_uar(folder):
    effects, *_ = read_effects(folder, seeds=3)
    # 225 of 360 are 62.5 %; the study's metric is 225 / 4 = 56.25.
    found = of(effects, "released", "arithmetic")
    assert found.keys() == {"accuracy"}
    assert found["accuracy"].differences == pytest.approx((6.25, 6.6667, 5.8333), abs=1e-4)
    assert of(effects, "corrected", "arithmetic")["accuracy"].differences[0] == pytest.approx(60 - 66.6667, abs=1e-4)


def test_page_lists_finished_and_missing_bugs(folder):
    page = write(folder, seeds=3, command="make bugs", docs=folder / "docs")
    text = page.read_text()
    assert (folder / "docs" / "bugs.md").read_text() == text
    assert (folder / "docs" / "bugs.png").read_bytes() == (folder / "bugs.png").read_bytes()
    rows = {row.split("**")[1]: row for row in re.findall(r"^\| \*\*.*$", text.split("## `corrected`")[0], re.M)}
    assert list(rows) == ["arithmetic", "training-mode", "padding"]
    assert rows["padding"].split(" | ")[1:] == [
        *("+4.2", "-6.2 to 14.5", "+4.2", "-6.2 to 14.5", "3", "trained", "`model.masked=true` |"),
    ]
    assert rows["arithmetic"].split(" | ")[3:] == ["-", "-", "3", "recomputed", "- |"]
    assert "Not run yet: updated-statistics, random-batches, last-epoch, rate-label, stereo, pcm16, resampler." in text
    assert "no change at any seed" in text.split("## `corrected`")[1]
    assert "Unchanged: test accuracy 62.5 ± 4.2 %, test UAR 62.5 ± 4.2 % over 3 seeds." in text
    assert "```sh\nmake bugs\n```" in text
    assert "synthetic" not in text
    content = json.loads((folder / "bugs.json").read_text())
    (found,) = [p for p in content["effects"] if (p["base"], p["bug"]) == ("released", "padding")]
    assert found["accuracy"]["mean"] == pytest.approx(4.1667, abs=1e-4)
    assert found["overrides"] == ["model.masked=true"]
    assert content["bases"]["corrected"]["2"]["accuracy"] == pytest.approx(100 * 255 / 360)
    before = {path: path.read_bytes() for path in folder.glob("bugs.*")}
    write(folder, seeds=3, command="make bugs", docs=None)
    assert {path: path.read_bytes() for path in before} == before
    assert len(before) == 3


def test_page_warns_about_synthetic_speech(folder):
    for path in folder.rglob("result.json"):
        edit(path.parent, lambda result: result["corpus"].update(name="synthetic"))
    assert "synthetic speech" in write(folder, seeds=3, command="x", docs=None).read_text()


def test_only_paired_requested_seeds_are_used(folder):
    (folder / "released/padding/seed-1/result.json").unlink()
    effects, bases, *_ = read_effects(folder, seeds=2)
    assert bases["released"].keys() == {0, 1}
    found = of(effects, "released", "padding")["accuracy"]
    assert (found.seeds, found.interval) == ((0,), None)
    text = write(folder, seeds=2, command="x", docs=None).read_text()
    assert "| released/padding/seed-1 | unfinished: no result.json |" in text


@pytest.mark.parametrize(
    "change", [{"digest": "01"}, {"config": {"evaluation": {"training_mode": True}}}, {"metrics": {}}]
)
def test_stale_evaluation_results_are_ignored(folder, change):
    place_evaluated(folder, "released", "training-mode", 0.9, 0.9, 0.9, **change)
    effects, *_ = read_effects(folder, seeds=3)
    assert "training-mode" not in {each.bug.name for each in effects if each.base == "released"}


def test_inconsistent_pairs_raise(folder):
    edit(folder / "released/padding/seed-1", lambda result: result.update(epochs=2))
    with pytest.raises(InputError, match=r"released/base/seed-0 and released/padding/seed-1 differ in epochs"):
        read_effects(folder, seeds=3)


def test_missing_base_runs_raise(folder):
    for base in BASES:
        shutil.rmtree(folder / base / "base")
    with pytest.raises(InputError, match="no run of a base"):
        read_effects(folder, seeds=3)


# --------------------------------------------------------- the list of bugs


def keys(bug, base: str) -> dict[str, object]:
    """Return the config keys, with new values, that the overrides of a bug change in a base experiment."""
    plain = composed(f"experiment={base}")
    changed = composed(f"experiment={base}", *bug.overrides(base))
    named = [word.partition("=")[0] for word in bug.overrides(base)]
    return {key: value(changed, key) for key in named if value(changed, key) != value(plain, key)}


def test_every_bug_in_released_is_in_the_bugs_list():
    assert {next(iter(keys(bug, "released"))) for bug in BUGS} == set(SWITCHES)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_overrides_use_values_of_the_other_base(bug):
    released, corrected = (composed(f"experiment={base}") for base in BASES)
    for key, now in keys(bug, "released").items():
        if key != "data.bucket":  # corrected may batch in any way: its scores do not depend on the batch
            assert now == value(corrected, key)
    for key, now in keys(bug, "corrected").items():
        assert now == value(released, key)
    assert keys(bug, "released")
    assert keys(bug, "corrected")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
@pytest.mark.parametrize("base", BASES)
def test_bugs_that_change_the_weights_are_trained(bug, base):
    """Keys of evaluation need training only if validation selects the checkpoint or updates running statistics."""
    reading = {"study_metric", "checkpoint", "data.eval_shuffle", "data.eval_batch_size", "data.bucket"}
    if base == "released":
        reading |= {"evaluation.training_mode", "evaluation.update_statistics"}
    named = {word.partition("=")[0] for word in bug.overrides(base)}
    assert (bug.how[base] == TRAINED) == bool(named - reading)


# ----------------------------------------------------------------- the command


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, ...]]:
    """Record the commands instead of running them."""
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(bugs, "call", lambda *words: made.append(words))
    return made


@pytest.mark.slow
def test_main_runs_both_bases_with_every_bug(folder, calls, capsys):
    for path in [*folder.glob("*/*/seed-[12]"), *folder.glob("*/*/seed-[12].json")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    bugs.main([str(folder), "--seeds", "1", "corpus=ravdess", "trainer.max_epochs=80"])
    trained = [words for words in calls if words[0] == "ser-train"]
    assert len(trained) == 2 + sum(bug.how[base] == TRAINED for bug in BUGS for base in BASES)
    assert trained[0] == (
        *("ser-train", "--multirun", "experiment=released", f"name={folder.name}", f"output_root={folder.parent}"),
        *("run_id=released/base/seed-${seed}", "seed=range(1)", "corpus=ravdess", "trainer.max_epochs=80"),
    )
    # Existing results of ser-evaluate are not computed again.
    again = {(words[1], words[4:]) for words in calls if words[0] == "ser-evaluate"}
    assert (str(folder / "released/base/seed-0"), ("--set", "checkpoint=best")) in again
    assert not any("evaluation.training_mode=false" in words for _, words in again)
    measured = sum(bug.how[base] == EVALUATED for bug in BUGS for base in BASES)
    assert len(again) == measured - 1
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "bugs.md")


def test_table_option_runs_no_commands(folder, calls):
    bugs.main([str(folder), "--seeds", "3", "--table", "--docs", str(folder / "docs"), "corpus=ravdess"])
    assert calls == []
    assert "python -m studies.bugs" in (folder / "docs/bugs.md").read_text()


def test_failed_command_exits_with_one_line_error(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(study, "BIN", tmp_path)
    (tmp_path / "ser-train").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "ser-train").chmod(0o755)
    with pytest.raises(SystemExit) as ended:
        bugs.main([str(tmp_path / "out"), "--seeds", "2"])
    assert ended.value.code == 1
    assert "bugs: ser-train failed with exit code 7" in capfd.readouterr().err


def test_notes_belong_to_a_base():
    assert {bug.how[base] for bug in BUGS for base in BASES} == {TRAINED, EVALUATED, RECOMPUTED}
    for bug in BUGS:
        assert bug.notes.keys() <= set(BASES)
