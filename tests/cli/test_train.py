"""``ser-train``: runs, their results and their errors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.cli.run_files import result_of
from tests.conftest import run_command

from ser_lightning.errors import InputError
from ser_lightning.labels import RAVDESS


def rows_of(folder: Path, subset: str) -> list[dict]:
    table = csv.DictReader((folder / "predictions.csv").read_text().splitlines())
    return [row for row in table if row["subset"] == subset]


def test_run_folder_contains_all_files(trained):
    files = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    events = {name for name in files if name.startswith("tensorboard/events")}
    assert events
    assert files - events == {
        *(
            ".hydra/config.yaml",
            ".hydra/overrides.yaml",
            "split.csv",
            "checkpoints/best.ckpt",
            "checkpoints/last.ckpt",
        ),
        *(
            "tensorboard/hparams.yaml",
            "predictions.csv",
            "confusion_matrix.png",
            "curves.png",
            "calibration.png",
            "MODEL_CARD.md",
            "train.log",
            "result.json",
        ),
    }


def test_result_describes_the_run(trained):
    result = result_of(trained)
    assert result["counts"] == {"train": 36, "val": 9, "test": 15, "train_with_copies": 144}
    assert (result["name"], result["run_id"], result["seed"]) == ("corrected", "dropout-p25/seed-0", 0)
    assert result["epochs"] == 2
    assert result["parameters"] == 157_338
    assert result["choices"]["dropout"] == "p25"
    assert all(len(values) == 2 for values in result["history"].values())
    assert set(result["metrics"]) == {"train", "val", "test"}
    assert {"torch", "ser-lightning"} <= set(result["versions"])
    best = max(range(2), key=lambda epoch: result["history"]["val/uar"][epoch])
    assert result["checkpoints"]["last"]["epoch"] == 1
    assert result["checkpoints"]["best"]["epoch"] == best
    assert result["checkpoints"]["best"]["metrics"]["val"]["uar"] == result["history"]["val/uar"][best]


def test_checkpoints_are_of_the_last_and_the_best_epoch(succeed, small, tmp_path):
    """Six epochs are enough for the validation UAR to decrease again."""
    words = ["experiment=corrected", *small, "trainer.max_epochs=6", "optim.lr=0.01", f"output_root={tmp_path}"]
    done = succeed("train", *words)
    assert (
        "training cnn_bilstm on synthetic_small (split random, features logmel, augment paper) for at most 6"
        in done.err
    )
    lines = [line for line in done.out.splitlines() if line.startswith("corrected/dropout-p25/seed-0: epoch ")]
    result = result_of(tmp_path / "corrected" / "dropout-p25" / "seed-0")
    assert lines[-1].endswith(
        f"epoch 6 of 6, training loss {result['history']['train/loss'][5]:.3f}, "
        f"validation UAR {100 * result['history']['val/uar'][5]:.1f} %"
    )
    assert "epoch 2 of 6" in lines[1]
    assert lines[1].endswith(" left")
    history = result["history"]["val/uar"]
    assert result["checkpoints"]["last"]["epoch"] == 5
    assert result["checkpoints"]["last"]["metrics"]["val"]["uar"] == history[5]
    assert result["checkpoints"]["best"]["metrics"]["val"]["uar"] == max(history)


@pytest.mark.parametrize("subset", ["val", "test"])
def test_result_matches_the_predictions(trained, subset):
    result, rows = result_of(trained), rows_of(trained, subset)
    assert len(rows) == result["counts"][subset]
    target, prediction = ([row[column] for row in rows] for column in ("target", "prediction"))
    assert accuracy_score(target, prediction) == result["metrics"][subset]["accuracy"]
    present = sorted(set(target))
    uar = recall_score(target, prediction, average="macro", labels=present, zero_division=0)
    assert uar == pytest.approx(result["metrics"][subset]["uar"])
    assert confusion_matrix(target, prediction, labels=RAVDESS).tolist() == result["confusion_matrix"][subset]
    for row in rows:
        assert RAVDESS[int(row["utterance"][6:8]) - 1] == row["target"]
        assert RAVDESS[int(np.argmax([float(row[emotion]) for emotion in RAVDESS]))] == row["prediction"]


def test_split_csv_is_complete_and_disjoint(trained):
    rows = list(csv.DictReader((trained / "split.csv").read_text().splitlines()))
    assert list(rows[0]) == ["utterance", "speaker", "emotion", "subset"]
    assert len({row["utterance"] for row in rows}) == len(rows) == 60
    tested = {row["utterance"] for row in rows_of(trained, "test")}
    assert tested == {row["utterance"] for row in rows if row["subset"] == "test"}


def test_tensorboard_contains_curves_images_hparams_and_audio(trained):
    tags, scalars = {}, {}
    for path in (trained / "tensorboard").glob("events*"):
        events = EventAccumulator(str(path), size_guidance={"images": 0, "audio": 0, "scalars": 0})
        events.Reload()
        for kind, names in events.Tags().items():
            if isinstance(names, list):
                tags.setdefault(kind, []).extend(names)
        scalars |= {tag: [e.value for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        content = events.Tags()["tensors"]
        assert content == []
    result = result_of(trained)
    for name, values in result["history"].items():
        assert scalars[name] == pytest.approx(values)
    assert tags["images"] == ["when_done/confusion_matrix", "when_done/calibration"]
    assert scalars["when_done/test_ece"] == [pytest.approx(result["calibration"]["test"]["after"]["ece"])]
    assert len(tags["audio"]) == 4
    assert all(" predicted as " in tag for tag in tags["audio"])
    assert scalars["when_done/test_accuracy"] == [pytest.approx(result["metrics"]["test"]["accuracy"])]
    raw = b"".join(path.read_bytes() for path in (trained / "tensorboard").glob("events*"))
    assert b"_hparams_/session_start_info" in raw
    assert b"_hparams_/session_end_info" in raw
    assert b"dropout.p" in raw


def test_finished_run_is_not_repeated_or_overwritten(command, succeed, trained, small_with_logs):
    words = ["experiment=corrected", *small_with_logs, f"output_root={trained.parents[2]}"]
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.name != "train.log"}
    done = succeed("train", *words)
    assert "already finished" in done.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    done = command("train", *words, "trainer.max_epochs=3")
    assert done.code == 1
    assert f"{trained} holds a finished run of 2 epochs" in done.err
    assert f"init_from={trained}/checkpoints/last.ckpt" in done.err
    done = command("train", *words, "optim.lr=0.5")
    assert done.code == 1
    assert "holds a run of another configuration" in done.err
    assert "name= or run_id=" in done.err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def same(one: dict, two: dict) -> bool:
    keys = ("metrics", "checkpoints", "history", "confusion_matrix", "per_class_recall")
    return all(one[key] == two[key] for key in keys)


@pytest.mark.slow
def test_same_seed_gives_identical_results_for_any_worker_count(command, trained, small, tmp_path):
    words = ["experiment=corrected", *small, f"output_root={tmp_path}", "data.feature_workers=1"]
    words = [
        w for w in words if not w.startswith("data.feature_cache")
    ]  # use a separate feature cache, built by one process
    assert command("train", *words).code == 0
    again = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    assert same(result_of(again), result_of(trained))
    assert (again / "predictions.csv").read_bytes() == (trained / "predictions.csv").read_bytes()
    states = [torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (again, trained)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        *("seed=1", "dropout=none", "optim.lr=0.01", "model.hidden=40", "augment=none", "data.balance=classes"),
        *("loss.class_weights=true", "loss.label_smoothing=0.1", "optim=sgd", "scheduler=cosine_restarts"),
        *("augment=speed", "augment=spec_augment", "augment=mixup"),
    ],
)
def test_swept_values_change_the_result(command, trained, small, tmp_path, change):
    words = ["experiment=corrected", *small, f"output_root={tmp_path}", change, "run_id=other"]
    assert command("train", *words).code == 0
    assert not same(result_of(tmp_path / "corrected" / "other"), result_of(trained))


def test_unfinished_run_without_a_valid_checkpoint_restarts(command, trained, small, tmp_path):
    folder = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").write_text("half")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events.out.tfevents.1").write_text("half")
    assert command("train", "experiment=corrected", *small, f"output_root={tmp_path}").code == 0
    assert same(result_of(folder), result_of(trained))
    assert not (folder / "tensorboard" / "events.out.tfevents.1").exists()


@pytest.fixture(scope="module")
def studied(small_with_logs, tmp_path_factory) -> Path:
    """The folder of a finished run of ``released``."""
    root = tmp_path_factory.mktemp("studied")
    code, _ = run_command("train", "experiment=released", *small_with_logs, f"output_root={root}")
    assert code == 0
    return root / "released" / "dropout-p25" / "seed-0"


def test_released_reports_study_and_evaluation_mode_metrics(command, small, studied):
    result = result_of(studied)
    assert result["checkpoint"] == "last"
    assert result["metrics"] == result["checkpoints"]["last"]["metrics"]
    assert set(result["study_metric"]) == {"train", "val", "test"}
    # The 15 test clips are one batch, so the metric of the study is the number of correct clips.
    assert result["study_metric"]["test"] == pytest.approx(15 * result["metrics"]["test"]["accuracy"])
    assert result["evaluation_mode_metrics"] != result["metrics"]
    # The last checkpoint reproduces the validation after the last epoch, including its dropout masks.
    for name, value in result["checkpoints"]["last"]["metrics"]["val"].items():
        assert result["history"][f"val/{name}"][-1] == pytest.approx(value, abs=1e-6)
    names = {finding["name"] for finding in result["audit"]["findings"] if finding["found"]}
    assert "running statistics of evaluated clips" in names
    raw = b"".join(path.read_bytes() for path in studied.rglob("events*"))
    assert b"when_done/test_study_metric" in raw
    assert b"evaluation.training_mode" in raw
    printed = command("train", "experiment=released", *small, f"output_root={studied.parents[2]}").err
    assert "(last checkpoint, evaluation.training_mode, evaluation.update_statistics): val accuracy" in printed
    honest = result["evaluation_mode_metrics"]["test"]["accuracy"]
    assert f"the same weights in evaluation mode: {_words(result['evaluation_mode_metrics'])}" in printed
    assert f"test accuracy {100 * honest:.1f} %" in printed
    assert f'"test": {result["study_metric"]["test"]}' in printed
    assert "no accuracy; the same predictions counted rightly are" in printed


def _words(metrics: dict) -> str:
    return f"val accuracy {100 * metrics['val']['accuracy']:.1f} %"


@pytest.mark.slow
@pytest.mark.parametrize("change", ["evaluation.training_mode=false", "evaluation.update_statistics=false"])
def test_evaluate_with_a_changed_setting_equals_retraining(command, small, studied, tmp_path, change):
    """``make bugs`` relies on this: evaluation settings of ``released`` do not affect training."""
    assert command("train", "experiment=released", *small, f"output_root={tmp_path}", change).code == 0
    retrained = result_of(tmp_path / "released" / "dropout-p25" / "seed-0")["metrics"]
    assert command("evaluate", str(studied), "--output", f"{tmp_path}/again.json", "--set", change).code == 0
    assert json.loads((tmp_path / "again.json").read_text())["metrics"]["test"] == retrained["test"]


@pytest.mark.parametrize(
    ("switches", "moves"),
    [
        (["evaluation.training_mode=true"], False),
        (["evaluation.update_statistics=true"], True),
        (["evaluation.training_mode=true", "evaluation.update_statistics=true"], True),
    ],
)
@pytest.mark.slow
def test_study_style_validation_does_not_change_the_weights(succeed, trained, small, tmp_path, switches, moves):
    """Only running statistics change, on request, and two runs with both switches are identical."""
    states, results = [], []
    for name in ("one", "two")[: len(switches)]:
        words = ["experiment=corrected", *small, f"output_root={tmp_path}", f"run_id={name}", *switches]
        succeed("train", *words)
        results.append(result_of(tmp_path / "corrected" / name))
        path = tmp_path / "corrected" / name / "checkpoints" / "last.ckpt"
        states.append(torch.load(path, weights_only=True)["state_dict"])
    assert same(results[0], results[-1])
    assert results[0]["evaluation_mode_metrics"] == results[-1]["evaluation_mode_metrics"]
    assert all(torch.equal(value, states[-1][name]) for name, value in states[0].items())
    clean = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    unlike = {name.rsplit(".", 1)[-1] for name, value in clean.items() if not torch.equal(value, states[0][name])}
    assert unlike == ({"running_mean", "running_var", "num_batches_tracked"} if moves else set())
    honest = result_of(trained)
    assert results[0]["history"]["train/loss"] == honest["history"]["train/loss"]
    assert results[0]["history"]["val/loss"] != honest["history"]["val/loss"]
    assert results[0]["metrics"]["test"]["loss"] != honest["metrics"]["test"]["loss"]


def test_training_mode_evaluation_rejects_a_batch_of_one_clip(command, small, tmp_path):
    words = ["experiment=released", *small, f"output_root={tmp_path}", "data.eval_shuffle=false"]
    done = command("train", *words, "data.eval_batch_size=8")  # 9 validation clips
    assert done.code == 1
    assert "data.eval_batch_size is 8, which leaves a batch of val with a single clip" in done.err.splitlines()[-1]
    assert not list(tmp_path.glob("released/*"))


def test_diverging_run_fails_with_a_hint(command, small, tmp_path):
    done = command("train", "experiment=corrected", *small, f"output_root={tmp_path}", "optim.lr=1e30")
    assert done.code == 1
    assert "in epoch" in done.err.splitlines()[-1]
    assert "lower optim.lr" in done.err.splitlines()[-1]
    assert not list(tmp_path.rglob("result.json"))


def test_locked_run_folder_is_left_unchanged(command, small, tmp_path):
    folder = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        done = command("train", "experiment=corrected", *small, f"output_root={tmp_path}")
        assert done.code == 1
        assert f"another process is writing {folder}" in done.err
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_folder_that_cannot_be_created_is_reported(refused, small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = refused("train", *small, f"output_root={tmp_path}/file")
    assert f"{tmp_path}/file" in line


def test_released_split_rejects_other_corpora(command, small, tmp_path):
    done = command("train", *[w for w in small if w != "split=random"], "split=released", f"output_root={tmp_path}")
    assert done.code == 1
    assert "split=random" in done.err
    assert "split manifest 'ravdess_released' names utterances that the corpus lacks" in done.err
    assert not list(tmp_path.rglob("*.csv"))


def test_unreadable_result_is_an_error(command, small, tmp_path):
    folder = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{")
    done = command("train", "experiment=corrected", *small, f"output_root={tmp_path}")
    assert done.code == 1
    assert f"{folder}/result.json cannot be read" in done.err


def test_full_error_raises_the_exception(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InputError, match="seed is 'abc'"):
        run_command("train", f"output_root={tmp_path}", "seed=abc")
