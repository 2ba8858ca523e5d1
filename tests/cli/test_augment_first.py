"""``data.augment_first`` splits augmented copies as if they were clips; every output reports this leak."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from tests.configs import configured
from tests.conftest import run_command

from ser_lightning.errors import InputError
from ser_lightning.report.runs import read_runs
from ser_lightning.train import train

pytestmark = pytest.mark.slow

COPIES = ("", "gain+6", "gain-6")


@pytest.fixture(scope="module")
def small(small_with_logs: list[str]) -> list[str]:
    """Overrides of short runs with TensorBoard and calibration, which the tests of this module compare."""
    return small_with_logs


def words(small: list[str], root: Path, *more: str) -> list[str]:
    return ["experiment=corrected", *small, "augment=gain", "data.batch_size=16", f"output_root={root}", *more]


def folder_of(root: Path, name: str) -> Path:
    return root / "corrected" / name


@pytest.fixture(scope="module")
def sweep(small, tmp_path_factory) -> Path:
    """Two seeds of each arm; the first run is logged to TensorBoard."""
    root = tmp_path_factory.mktemp("first")
    for first in ("true", "false"):
        for seed in (0, 1):
            more = [f"data.augment_first={first}", f"seed={seed}", f"run_id=first-{first}/seed-{seed}"]
            more += ["logger=[]"] if seed or first == "false" else []
            assert run_command("train", *words(small, root, *more))[0] == 0
    return root


@pytest.fixture(scope="module")
def leaky(sweep) -> Path:
    return folder_of(sweep, "first-true/seed-0")


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_each_copy_is_assigned_to_one_subset(leaky):
    rows = read(leaky / "split.csv")
    assert list(rows[0]) == ["utterance", "copy", "speaker", "emotion", "subset"]
    assert len({(row["utterance"], row["copy"]) for row in rows}) == len(rows) == 60 * 3
    assert {row["copy"] for row in rows} == set(COPIES)
    assert Counter(row["subset"] for row in rows) == {"train": 108, "val": 27, "test": 45}
    result = json.loads((leaky / "result.json").read_text())
    assert result["counts"] == {"train": 108, "val": 27, "test": 45, "train_with_copies": 108}
    assert sum(map(sum, result["confusion_matrix"]["test"])) == 45


def test_predictions_name_the_copy(leaky, sweep):
    rows = read(leaky / "predictions.csv")
    assert list(rows[0])[:3] == ["utterance", "copy", "speaker"]
    membership = {(row["utterance"], row["copy"]): row["subset"] for row in read(leaky / "split.csv")}
    found = {(row["utterance"], row["copy"]): row["subset"] for row in rows}
    assert found == {key: subset for key, subset in membership.items() if subset != "train"}
    assert len(rows) == 72
    # Without augment_first the files have no copy column.
    assert "copy" not in read(folder_of(sweep, "first-false/seed-0") / "predictions.csv")[0]
    assert "copy" not in read(folder_of(sweep, "first-false/seed-0") / "split.csv")[0]


def test_audit_counts_match_the_split(leaky, sweep):
    rows = read(leaky / "split.csv")
    subset_of = {row["utterance"]: row["subset"] for row in rows if not row["copy"]}
    trained = {row["utterance"] for row in rows if row["subset"] == "train"}
    audit = json.loads((leaky / "result.json").read_text())["audit"]
    findings = {finding["name"]: finding for finding in audit["findings"]}
    for subset in ("train", "val", "test"):
        own = [row for row in rows if row["subset"] == subset]
        elsewhere = sum(subset_of[row["utterance"]] != subset for row in own)
        assert findings["augmented copies elsewhere"]["counts"][subset] == {"count": elsewhere, "of": len(own)}
        assert elsewhere > 0
        if subset != "train":
            shared = sum(row["utterance"] in trained for row in own)
            assert findings["another copy in training"]["counts"][subset] == {"count": shared, "of": len(own)}
            assert shared > len(own) / 2
    assert audit["leak"]
    assert findings["another copy in training"]["sentence"] in audit["summary"]
    assert audit["summary"] in (leaky / "train.log").read_text()
    assert not findings["normalizer fitted outside training"]["found"]
    clean = json.loads((folder_of(sweep, "first-false/seed-0") / "result.json").read_text())["audit"]
    assert not clean["leak"]
    assert "another copy in training" not in {finding["name"] for finding in clean["findings"]}


def test_evaluate_reproduces_the_metrics(command, leaky):
    done = command("evaluate", str(leaky))
    assert (done.code, done.out.splitlines()[-1]) == (0, "The metrics are equal to the last digit."), done.err


@pytest.mark.usefixtures("few_draws")
def test_report_compares_both_arms(command, sweep, tmp_path):
    words = [str(sweep / "corrected"), "--arm", "data.augment_first"]
    assert command("report", *words, "--output", f"{tmp_path}/report").code == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert "have another copy of their clip in training" in text
    assert "The arms were tested on different utterances" in text
    runs, predictions, left_out = read_runs(sweep / "corrected")
    assert not left_out
    (leaky, *_) = [run.path for run in runs.itertuples() if run.config["data"]["augment_first"]]
    tested = predictions[(predictions.run == leaky) & (predictions.subset == "test")]
    assert set(tested["copy"]) > {""}
    assert len(tested) == 45
    assert command("report", *words, "--export", f"{tmp_path}/small").code == 0
    again = read_runs(tmp_path / "small")
    assert not again.left_out
    assert runs.clip_sets.to_list() == again.runs.clip_sets.to_list()
    assert predictions.prediction.tolist() == again.predictions.prediction.tolist()


@pytest.mark.usefixtures("few_draws")
def test_report_of_leaky_runs_states_the_test_set(command, sweep, tmp_path):
    assert command("report", str(sweep / "corrected" / "first-true"), "--output", str(tmp_path)).code == 0
    assert "on the same 45 clips and augmented copies of 2 speakers" in (tmp_path / "report.md").read_text()


def test_tensorboard_audio_uses_original_test_clips(leaky):
    raw = b"".join(path.read_bytes() for path in (leaky / "tensorboard").glob("events*"))
    clips = {row["utterance"] for row in read(leaky / "split.csv") if (row["copy"], row["subset"]) == ("", "test")}
    assert 1 <= sum(f"test/{id_}: ".encode() in raw for id_ in clips) <= 4
    assert raw.count(b" predicted as ") <= 4


def test_audit_and_prepare_support_augment_first_without_a_run(command, succeed, small, tmp_path):
    needed = [word for word in words(small, tmp_path, "data.augment_first=true") if not word.startswith("trainer")]
    done = command("audit", *needed)
    assert done.code == 4
    assert "rows have another copy of their clip in training" in done.out.splitlines()[-1]
    assert command("audit", *needed, "data.augment_first=false").code == 0
    done = succeed("prepare", *needed)
    assert "108 training clips with their copies" in done.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["split=take"], "data.augment_first is true, but TakeSplit does not draw clips one by one"),
        (["split=released"], "ManifestSplit does not draw clips one by one, so that copies could not fall apart; use"),
        (["split=speaker"], "SpeakerSplit does not draw clips one by one"),
        (["augment=none"], "data.augment_first is true, but the augmentation makes no copies; use another augment"),
        (["augment=mixup"], "the augmentation makes no copies"),
        (["data.augment_first=1"], "data.augment_first is 1; expected bool"),
    ],
)
def test_unusable_augment_first_is_refused(small, tmp_path, more, message):
    config = configured(*words(small, tmp_path, "data.augment_first=true", *more), f"folder={tmp_path}/x")
    with pytest.raises(InputError) as refused:
        train(config, choices={}, overrides=[])
    assert message in str(refused.value)
    assert not (tmp_path / "x").exists()
