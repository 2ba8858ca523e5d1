"""With split.refit a run chooses by validation clips, then trains on training and validation clips together."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.cli.run_files import result_of
from tests.cli.test_resume import assert_same_end, stop
from tests.conftest import run_command

from ser_lightning.checkpoint import load_plain
from ser_lightning.data.preparation import Preparation
from ser_lightning.task import EmotionTask

NETWORK = ["experiment=corrected", "trainer.max_epochs=3", "optim.lr=0.01"]
BASELINE = ["experiment=logistic", "model.c=[0.01,0.1]"]
PLAIN = ("logger=[]", "calibrate=false")  # for runs of which only the weights and metrics are compared
SELECTED = ("metrics", "confusion_matrix", "per_class_recall")


@pytest.fixture(scope="module")
def tables(trained, synthetic_root: Path, tmp_path_factory) -> dict[str, Path]:
    """Tables of the same clips: as drawn, with other emotions for the test clips, and with validation in training."""
    folder = tmp_path_factory.mktemp("tables")
    clips = sorted(synthetic_root.rglob("*.flac"))
    subsets = [("train", "train", "train", "val", "test")[n % 5] for n in range(len(clips))]
    emotions = [f"emotion {path.stem.split('-')[2]}" for path in clips]
    merged = iter(n % 2 for n in range(len(clips)))
    rows = {
        "drawn": list(zip(emotions, subsets, strict=True)),
        "relabeled": [
            ("emotion 01" if subset == "test" else e, subset) for e, subset in zip(emotions, subsets, strict=True)
        ],
        "merged": [
            (e, "train" if subset != "test" else ("val", "test")[next(merged)])
            for e, subset in zip(emotions, subsets, strict=True)
        ],
    }
    for name, content in rows.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "emotion", "speaker", "split"])
            writer.writerows(
                [path, emotion, path.parent.name, subset]
                for path, (emotion, subset) in zip(clips, content, strict=True)
            )
    return {name: folder / f"{name}.csv" for name in rows}


@pytest.fixture(scope="module")
def train(tables, tmp_path_factory):
    root = tmp_path_factory.mktemp("refit")

    def run(name: str, table: str, *words: str) -> Path:
        places = [f"output_root={root}", f"name={name}", "run_id=run", f"corpus.path={tables[table]}"]
        assert (
            run_command("train", *words, "corpus=table", "split=column", "augment=none", "threads=1", *places)[0] == 0
        )
        return root / name / "run"

    return run


@pytest.fixture(scope="module")
def networks(train) -> dict[str, Path]:
    drawn = train("drawn", "drawn", *NETWORK, "split.refit=true")
    epochs = result_of(drawn)["refit"]["epochs"]
    return {
        "drawn": drawn,
        "relabeled": train("relabeled", "relabeled", *NETWORK, "split.refit=true", "logger=[]"),
        "merged": train("merged", "merged", *NETWORK, *PLAIN, "checkpoint=last", f"trainer.max_epochs={epochs}"),
    }


@pytest.fixture(scope="module")
def baselines(train) -> dict[str, Path]:
    return {
        "drawn": train("logistic", "drawn", *BASELINE, "split.refit=true"),
        "relabeled": train("logistic-relabeled", "relabeled", *BASELINE, "split.refit=true", "logger=[]"),
        "merged": train("logistic-merged", "merged", *BASELINE, *PLAIN),
    }


@pytest.fixture(params=[pytest.param("networks", marks=pytest.mark.slow), "baselines"])
def runs(request) -> dict[str, Path]:
    return request.getfixturevalue(request.param)


def selection_of(folder: Path) -> dict:
    return json.loads((folder / "selection" / "selection.json").read_text())


def weights_of(folder: Path, name: str = "last") -> dict:
    return load_plain(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


def assert_same_weights(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(torch.as_tensor(value), torch.as_tensor(two[key])) for key, value in one.items())


def subsets_of(path: Path) -> Counter[str]:
    with path.open(newline="") as file:
        return Counter(row["subset"] for row in csv.DictReader(file))


def test_refit_trains_on_training_and_validation_clips(runs):
    assert_same_weights(weights_of(runs["drawn"]), weights_of(runs["merged"]))
    drawn, merged = result_of(runs["drawn"]), result_of(runs["merged"])
    assert drawn["metrics"]["train"] == merged["metrics"]["train"]
    assert drawn["counts"] == {"train": 48, "val": 0, "test": 12, "train_with_copies": 48}
    assert drawn["refit"]["clips"] == 48
    assert drawn["refit"]["selection"]["counts"] == {"train": 36, "val": 12, "test": 0, "train_with_copies": 36}


def test_refit_is_calibrated_by_the_model_of_the_selection(runs):
    found, selection = result_of(runs["drawn"])["calibration"], selection_of(runs["drawn"])["calibration"]
    assert "before the refit" in found["fitted_on"]
    assert found["fitted"] == selection["fitted"]
    assert found["fitted"]["clips"] == 12
    assert found["val"] == selection["val"]
    assert "test" not in selection
    assert found["test"]["before"]["nll"] == pytest.approx(result_of(runs["drawn"])["metrics"]["test"]["loss"])
    for name in ("best", "last"):
        stored = load_plain(runs["drawn"] / "checkpoints" / f"{name}.ckpt")["ser_lightning"]
        assert stored["calibration"] == found["fitted"]
    assert found["fitted"] == result_of(runs["relabeled"])["calibration"]["fitted"]


def test_test_clips_take_no_part_in_the_selection(runs):
    drawn, relabeled = runs["drawn"], runs["relabeled"]
    assert_same_weights(weights_of(drawn), weights_of(relabeled))
    assert selection_of(drawn)["metrics"] == selection_of(relabeled)["metrics"]
    assert selection_of(drawn)["metrics"].keys() == {"train", "val"}
    assert subsets_of(drawn / "selection" / "predictions.csv") == {"val": 12}
    assert result_of(drawn)["metrics"]["test"] != result_of(relabeled)["metrics"]["test"]


def test_result_has_the_validation_of_the_selection(runs):
    folder = runs["drawn"]
    result, selection = result_of(folder), selection_of(folder)
    assert all(result[key]["val"] == selection[key]["val"] for key in SELECTED)
    assert subsets_of(folder / "predictions.csv") == {"val": 12, "test": 12}
    assert subsets_of(folder / "split.csv") == {"train": 36, "val": 12, "test": 12}
    val = [line for line in (folder / "predictions.csv").read_text().splitlines() if ",val," in line]
    assert val == (folder / "selection" / "predictions.csv").read_text().splitlines()[1:]
    assert result["audit"]["leak"] is False
    assert "refit" not in result_of(runs["merged"])


@pytest.mark.slow
def test_network_is_refitted_for_the_chosen_epochs(networks):
    result, selection = result_of(networks["drawn"]), selection_of(networks["drawn"])
    chosen = selection["checkpoints"]["best"]["epoch"] + 1
    assert result["refit"]["epochs"] == result["epochs"] == chosen
    assert load_plain(networks["drawn"] / "checkpoints" / "best.ckpt")["epoch"] == chosen - 1
    assert_same_weights(weights_of(networks["drawn"], "best"), weights_of(networks["drawn"], "last"))
    lines = [
        line.split(" DEBUG ")[1]
        for line in (networks["drawn"] / "train.log").read_text().splitlines()
        if " DEBUG " in line
    ]
    assert [" ".join(line.split()[:-4]) for line in lines if line.startswith("epoch")] == [
        "epoch 0",
        "epoch 1",
        "epoch 2",
    ]
    assert sum(line.startswith("refit epoch") for line in lines) == chosen


@pytest.mark.slow
def test_early_stopping_and_last_checkpoint_determine_the_epochs(train):
    words = ["scheduler=warmup_cosine", "callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=1"]
    folder = train(
        "stopped",
        "drawn",
        *NETWORK,
        *PLAIN,
        "split.refit=true",
        "checkpoint=last",
        *words,
        "callbacks.early_stopping.min_delta=1",
    )
    assert selection_of(folder)["epochs"] == result_of(folder)["epochs"] == 2  # of 3; a UAR never improves by 1
    rates = [of["history"]["train/learning_rate"] for of in (selection_of(folder), result_of(folder))]
    assert len(rates[1]) == 2
    assert rates[1][1] < 0.01


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_refitted_run_can_be_evaluated_again_and_reported(networks, command, succeed, tmp_path):
    again = succeed("evaluate", str(networks["drawn"]))
    assert "test" in again.out
    assert command("report", str(networks["drawn"].parent), "--output", str(tmp_path)).code == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["design"]["fixed"]["split.refit"] == "true"


@pytest.mark.slow
def test_finished_run_is_not_trained_again(train, networks, monkeypatch):
    monkeypatch.setattr(Preparation, "scan", None)
    train("drawn", "drawn", *NETWORK, "split.refit=true")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["selection", "refit"])
def test_run_stopped_in_a_stage_resumes_to_the_same_result(tables, networks, tmp_path, stage):
    words = [
        *(*NETWORK, "split.refit=true", "corpus=table", "split=column", "augment=none", "threads=1", "name=drawn"),
        *("run_id=run", f"output_root={tmp_path}", f"corpus.path={tables['drawn']}"),
    ]
    has_val = stage == "selection"

    def is_there(task: EmotionTask, batch: object, index: int) -> bool:
        in_selection = len(task.trainer.datamodule.datasets["val"]) > 0
        return in_selection == has_val and (task.current_epoch == 1 or not in_selection)

    stop(words, EmotionTask, "training_step", is_there)
    assert (tmp_path / "drawn" / "run" / "selection" / "selection.json").exists() == (not has_val)
    assert run_command("train", *words)[0] == 0
    assert_same_end(
        tmp_path / "drawn" / "run" / "selection", networks["drawn"] / "selection", result="selection.json", epochs=0
    )
    assert_same_end(tmp_path / "drawn" / "run", networks["drawn"], epochs=6)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["split.refit=1"], "split.refit"),
        (["scheduler=plateau", "scheduler.monitor=val/loss"], "scheduler.monitor"),
        (["callbacks=[default,weight_averaging]"], "checkpoint"),
        (["trainer.devices=2", "trainer.strategy=ddp"], "trainer.devices"),
        (["data.augment_first=true", "augment=paper"], "data.augment_first"),
    ],
)
def test_impossible_options_are_rejected_before_any_work(command, small, tmp_path, words, key):
    done = command("train", *NETWORK, *small, "split.refit=true", *words, f"output_root={tmp_path / 'out'}")
    assert done.code == 1
    assert key in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_split_without_validation_clips_is_refused_before_training(command, tables, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(tables["drawn"].read_text().replace(",val\n", ",train\n").replace(",val\r\n", ",train\r\n"))
    done = command(
        *("train", *NETWORK, "corpus=table", "split=column", f"corpus.path={table}", f"output_root={tmp_path / 'out'}")
    )
    assert done.code == 1
    assert "split.val" in done.err
    assert not list(tmp_path.rglob("*.ckpt"))
