"""``ser-evaluate --robustness`` on a trained network, and its results in the report and the model card."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.measure_robustness import _read, default_section, make_plan, measure_robustness
from ser_lightning.report.export import export_runs
from ser_lightning.report.report import make_report
from ser_lightning.report.robustness import pool_runs, read_robustness
from ser_lightning.results import read_result
from tests.conftest import run_command, settings

QUICK = [
    *("--condition", "white_noise", "--condition", "babble", "--condition", "noise", "--condition", "truncation"),
    *settings("robustness.conditions.white_noise.levels=[40,-20]", "robustness.conditions.babble.levels=[0]"),
    *settings("robustness.conditions.truncation.levels=[100]"),
]


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Path:
    """A copy of the trained run with results of a few levels."""
    folder = tmp_path_factory.mktemp("robustness") / "seed-0"
    shutil.copytree(trained, folder)
    assert run_command("evaluate", str(folder), "--robustness", *QUICK)[0] == 0
    return folder


def content(run: Path) -> dict:
    return json.loads((run / "robustness.json").read_text())


def test_levels_are_measured_on_the_test_clips(run):
    result, found = json.loads((run / "result.json").read_text()), content(run)
    assert found["equal"]
    assert found["clean"]["uar"] == pytest.approx(result["metrics"]["test"]["uar"], abs=1e-12)
    assert found["identity"]["digest"] == result["digest"]
    assert np.sum(found["speaker_clips"]) == found["clips"] == result["counts"]["test"]
    np.testing.assert_array_equal(np.sum(found["speaker_clips"], 0), np.sum(result["confusion_matrix"]["test"], 1))
    assert np.trace(result["confusion_matrix"]["test"]) == np.sum(found["clean"]["correct"])
    conditions = found["conditions"]
    assert list(conditions) == ["white_noise", "babble", "truncation"]  # no folder of noise was given
    assert [entry["level"] for entry in conditions["white_noise"]["levels"]] == [40, -20]
    assert conditions["white_noise"]["levels"][1]["correct"] != found["clean"]["correct"]
    assert conditions["truncation"]["levels"][0]["correct"] == found["clean"]["correct"]  # no clip is as long
    assert "| white noise | -20 dB SNR |" in (run / "MODEL_CARD.md").read_text()


@pytest.mark.slow
def test_finished_levels_are_skipped_unless_asked(run, command, succeed):
    first = content(run)
    changed = content(run)
    changed["conditions"]["babble"]["levels"][0]["uar"] = 0.123
    (run / "robustness.json").write_text(json.dumps(changed))
    other = ["--condition", "quiet", *settings("robustness.conditions.quiet.levels=[-10]")]

    done = succeed("evaluate", str(run), "--robustness", *QUICK, *other, "--json")
    printed = json.loads(done.out)
    assert printed["conditions"]["babble"]["levels"][0]["uar"] == 0.123
    assert "quiet" in printed["conditions"]
    talkers = settings("robustness.conditions.babble.levels=[0]", "robustness.conditions.babble.talkers=1")
    assert command("evaluate", str(run), "--robustness", "--condition", "babble", *talkers).code == 0
    assert content(run)["conditions"]["babble"]["levels"][0]["uar"] != 0.123  # another condition

    assert command("evaluate", str(run), "--robustness", *QUICK, "--again").code == 0
    assert content(run) == first


@pytest.mark.slow
def test_seed_and_noise_folder_change_the_result(run, command, succeed, synthetic_root, tmp_path):
    (tmp_path / "noise").mkdir()
    shutil.copy(next(synthetic_root.rglob("*.flac")), tmp_path / "noise")
    words = ["--robustness", "--condition", "noise", "--noise", str(tmp_path / "noise")]
    shutil.copytree(run, tmp_path / "run")
    levels = settings("robustness.conditions.noise.levels=[-20]")
    succeed("evaluate", str(tmp_path / "run"), *words, *levels, "--output", str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())["conditions"]["noise"]
    assert found["values"]["folder"] == str(tmp_path / "noise")
    assert found["levels"][0]["correct"] != content(run)["clean"]["correct"]
    assert command("evaluate", str(tmp_path / "run"), *words, *levels, *settings("robustness.seed=1")).code == 0
    assert content(tmp_path / "run")["robustness_seed"] == 1

    report = make_report(tmp_path / "run")
    export_runs(report.comparison, tmp_path / "run", tmp_path / "exported")
    assert str(tmp_path) not in (tmp_path / "exported" / "robustness.json").read_text()
    again = make_report(tmp_path / "exported")
    assert again.json()["robustness"] == report.json()["robustness"]


def test_report_has_curves_and_table(run):
    report = make_report(run)
    (rows,) = report.json()["robustness"].values()
    assert [(row["condition"], row["level"]) for row in rows][:3] == [
        ("", "none"),
        ("white_noise", "40"),
        ("white_noise", "-20"),
    ]
    assert rows[0]["uar"] == pytest.approx(report.comparison.runs["test/uar"].item())
    page = report.write(run / "report").read_text()
    assert "<h2>Robustness</h2>" in page
    assert (run / "report" / "figures" / "robustness-1.png").exists()


def test_runs_of_several_folds_are_pooled(run):
    one = content(run)
    other = json.loads(json.dumps(one))
    other["speakers"] = [f"other {speaker}" for speaker in one["speakers"]]
    other["conditions"]["babble"]["values"] = {}
    table = pool_runs([one, other]).set_index(["condition", "level"])
    alone = pool_runs([one]).set_index(["condition", "level"])
    assert ("babble", "0") not in table.index  # it is not the same condition in both
    np.testing.assert_allclose(table.uar, alone.uar[table.index])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--robustness", "--corpus", "emodb"], "leave out --corpus"),
        (["--condition", "babble"], "belong to --robustness"),
        (["--robustness", "--condition", "babbel"], "the nearest valid name is 'babble'"),
        (["--robustness", "--noise", "/nowhere"], "/nowhere does not exist"),
        (["--robustness", "--rooms", "{tmp_path}"], "contains no audio file"),
        (["--robustness", "--set", "audio.vad_mode=null"], "evaluates a run as it was trained"),
        (["--robustness", "--set", "robustness.conditions.gsm.levels=[20]"], "levels of Codec are [20]"),
        (["--robustness", "--set", "robustness.conditions.gsm.level=[13]"], "unknown key"),
        (["--robustness", "--set", "robustness.seed=x"], "robustness.seed is 'x'"),
    ],
)
def test_bad_options_are_refused_in_one_line(trained, refused, tmp_path, words, message):
    line = refused("evaluate", str(trained), *(word.format(tmp_path=tmp_path) for word in words))
    assert message in line
    assert not (trained / "robustness.json").exists()


def test_runs_without_test_clips_are_refused(trained, tmp_path):
    result = read_result(trained)
    path = trained / "checkpoints" / "best.ckpt"
    config = read_checkpoint(path).config
    rows = [line.replace(",test", ",val") for line in (trained / "split.csv").read_text().splitlines()]
    (tmp_path / "split.csv").write_text("\n".join(rows) + "\n")
    config["split"] = {"_target_": "ser_lightning.splits.file.FileSplit", "path": str(tmp_path / "split.csv")}
    plan = make_plan(default_section(), only=["gsm"], trust=[])
    with pytest.raises(InputError, match="test subset is empty"):
        measure_robustness(config, folder=tmp_path, path=path, result=result, plan=plan, again=False, report=print)
    assert not (tmp_path / "robustness.json").exists()


def test_unfinished_runs_and_damaged_files_are_refused(command, tmp_path):
    done = command("evaluate", str(tmp_path), "--robustness")
    assert done.code == 1
    assert "is no finished run" in done.err
    assert read_robustness(tmp_path) is None
    for text in ('{"format": 2, "conditions": {}}', '{"format": 1}', "[]"):
        (tmp_path / "robustness.json").write_text(text)
        with pytest.raises(InputError, match="compute it again"):
            read_robustness(tmp_path)
    with pytest.raises(InputError, match="remove it, or give --again"):
        _read(tmp_path / "robustness.json")
