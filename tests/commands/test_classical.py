"""Models that are fitted at once go through the same runs, predictions and reports as the networks."""

import csv
import json
from pathlib import Path

import pytest
import torch
from tests.commands.test_resume import Stop, stop
from tests.conftest import _run

from ser_lightning.commands import outcome
from ser_lightning.commands.report import main as report
from ser_lightning.emotions import RAVDESS
from ser_lightning.model.svm import SVM
from ser_lightning.task import EmotionTask

# Beside what each experiment has, to be quick.
QUICK = {
    "svm": ["model.c=[1,10]", "model.gamma=[0.1,1]"],
    "logistic": ["model.c=[0.01,0.1]"],
    "gmm": ["model.components=[1,2]", "model.floor=[0.1]"],
    "dbn_svm": ["model.c=[1,10]", "model.gamma=[0.1,1]", "model.pretrain_epochs=5", "model.fine_tune_steps=10"],
}
ELSEWHERE = ("seconds", "overrides", "config")  # of a result: what differs where a run lies elsewhere


def words(small: list[str], root: Path, experiment: str) -> list[str]:
    fast = [word for word in small if not word.startswith("trainer.max_epochs")]
    return [f"experiment={experiment}", *fast, *QUICK[experiment], f"output_root={root}"]


def folder_of(root: Path, experiment: str) -> Path:
    return root / experiment / "dropout-none" / "seed-0"


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory) -> Path:
    """The output root of a finished run of each experiment."""
    root = tmp_path_factory.mktemp("classical")
    for experiment in QUICK:
        assert _run("train", *words(small, root, experiment))[0] == 0
    return root


every = pytest.mark.parametrize("experiment", QUICK)


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@every
def test_a_run_leaves_what_that_of_a_network_leaves(runs, trained, experiment):
    folder = folder_of(runs, experiment)
    files, networks = (
        {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and "events" not in path.name}
        for run in (folder, trained)
    )
    assert files == networks
    result, of_network = result_of(folder), result_of(trained)
    assert result.keys() - {"chosen"} == of_network.keys()
    assert result["epochs"] == 1
    assert result["history"].keys() == of_network["history"].keys()
    assert all(len(values) == 1 for values in result["history"].values())
    assert result["checkpoints"]["best"] == result["checkpoints"]["last"]
    assert result["counts"] == {"train": 36, "val": 9, "test": 15, "train_with_copies": 36}
    assert result["seconds"]["train"] > 0
    assert "scikit-learn" in result["versions"]


@every
def test_a_result_says_what_was_chosen_and_how_large_the_model_is(runs, experiment):
    folder = folder_of(runs, experiment)
    result, config = result_of(folder), result_of(folder)["config"]["model"]
    chosen = result["chosen"]
    assert 0 < chosen.pop("uar") < 1
    assert chosen
    for name, value in chosen.items():
        assert value in config[name]
    assert f"chosen by inner validation: {next(iter(chosen))} " in (folder / "train.log").read_text()
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    features = state["model.standardize.mean"].numel()
    held = {
        "logistic": lambda: 8 * features + 8,
        "gmm": lambda: 8 * chosen["components"] * (2 * features + 1) + 8,
        "svm": lambda: state["model.machine.support"].size(0) * (features + 7) + 28,
        "dbn_svm": lambda: (
            100 * features + 100 + 100 * 50 + 50 + state["model.machine.support"].size(0) * (50 + 7) + 28
        ),
    }
    assert result["parameters"] == held[experiment]()


@every
def test_the_curve_of_training_is_that_of_the_fitted_model(runs, experiment):
    result = result_of(folder_of(runs, experiment))
    for name in ("accuracy", "uar", "macro_f1"):
        assert result["history"][f"train/{name}"] == [pytest.approx(result["metrics"]["train"][name])]
        assert result["history"][f"val/{name}"] == [pytest.approx(result["metrics"]["val"][name])]


@every
def test_the_audit_knows_its_normaliser(runs, experiment):
    audit = result_of(folder_of(runs, experiment))["audit"]
    (normaliser,) = [finding for finding in audit["findings"] if finding["name"].startswith("normaliser")]
    assert normaliser["sentence"] == "the network standardises by statistics of the training rows"
    assert not normaliser["found"], normaliser


@every
def test_evaluate_agrees_to_the_last_digit(command, runs, experiment):
    done = command("evaluate", f"run={folder_of(runs, experiment)}")
    assert (done.code, done.out.splitlines()[-1]) == (0, "equal, to the last digit"), done.err


@every
def test_predict_agrees_with_the_run_whatever_the_batches(command, runs, synthetic_root, tmp_path, experiment):
    folder = folder_of(runs, experiment)
    tables = []
    for size in (7, 60):
        path = tmp_path / f"{size}.csv"
        checkpoint = folder / "checkpoints" / "best.ckpt"
        given = [f"checkpoint={checkpoint}", f"input={synthetic_root}", f"output={path}", f"data.batch_size={size}"]
        assert command("predict", *given).code == 0
        tables.append({Path(row["path"]).stem: row for row in csv.DictReader(path.read_text().splitlines())})
    for row in csv.DictReader((folder / "predictions.csv").read_text().splitlines()):
        for heard in tables:
            assert heard[row["utterance"]]["prediction"] == row["prediction"]
            for emotion in RAVDESS:
                assert float(heard[row["utterance"]][emotion]) == pytest.approx(float(row[emotion]), abs=5e-6)


@every
def test_the_same_seed_gives_the_same_bits(command, runs, small, tmp_path, experiment):
    assert command("train", *words(small, tmp_path, experiment), "data.workers=1").code == 0
    assert_same_end(folder_of(tmp_path, experiment), folder_of(runs, experiment))


def assert_same_end(folder: Path, whole: Path) -> None:
    one, two = (
        {key: value for key, value in result_of(run).items() if key not in ELSEWHERE} for run in (folder, whole)
    )
    assert one == two
    assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (folder, whole))
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        assert all(torch.equal(value, theirs["state_dict"][key]) for key, value in ours["state_dict"].items())
        assert torch.equal(ours["resume"]["generators"]["torch"], theirs["resume"]["generators"]["torch"])
    assert {p.relative_to(folder) for p in folder.rglob("*") if "events" not in p.name} == {
        p.relative_to(whole) for p in whole.rglob("*") if "events" not in p.name
    }


@every
def test_a_run_killed_while_it_measures_goes_on_without_fitting_again(command, runs, small, tmp_path, experiment):
    stop(words(small, tmp_path, experiment), outcome, "write_json", lambda *_: True)

    def refuse(*_: object, **__: object) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmotionTask, "on_train_start", refuse)
        done = command("train", *words(small, tmp_path, experiment))
    assert done.code == 0
    assert "resuming after epoch 1 of 1" in done.err
    assert_same_end(folder_of(tmp_path, experiment), folder_of(runs, experiment))


def test_a_run_killed_while_it_is_fitted_begins_anew(command, runs, small, tmp_path):
    given = words(small, tmp_path, "svm")
    stop(given, SVM, "fit", lambda *_: True)
    assert not list(folder_of(tmp_path, "svm").rglob("*.ckpt"))
    assert command("train", *given).code == 0
    assert_same_end(folder_of(tmp_path, "svm"), folder_of(runs, "svm"))


def test_a_run_killed_while_it_validates_begins_anew(command, runs, small, tmp_path):
    given = words(small, tmp_path, "gmm")
    stop(given, EmotionTask, "validation_step", lambda *_: True)
    assert command("train", *given).code == 0
    assert_same_end(folder_of(tmp_path, "gmm"), folder_of(runs, "gmm"))


def test_a_report_compares_them_with_each_other(command, small, tmp_path):
    for experiment in ("svm", "logistic"):
        for seed in (0, 1):
            given = [*words(small, tmp_path, experiment), "name=both", f"run_id={experiment}/seed-{seed}"]
            assert command("train", *given, f"seed={seed}").code == 0
    report([str(tmp_path / "both"), "arm=model"])
    found = json.loads((tmp_path / "both" / "report.json").read_text())
    assert {"svm", "logistic"} <= set(json.dumps(found).replace('"', " ").split())


def test_copies_of_training_clips_are_learned_from_too(command, runs, small, tmp_path):
    assert command("train", *words(small, tmp_path, "logistic"), "augment=paper").code == 0
    result, without = (result_of(folder_of(root, "logistic")) for root in (tmp_path, runs))
    assert result["counts"]["train_with_copies"] == 144
    assert result["metrics"] != without["metrics"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainer=default", "trainer.max_epochs is 80; expected 1: SVM is fitted to all clips at once; choose"),
        ("trainer.max_epochs=2", "trainer.max_epochs is 2; expected 1"),
        ("trainer.gradient_clip_val=1.0", "trainer.gradient_clip_val is 1.0; expected null: SVM is fitted"),
        ("scheduler=cosine_restarts", "SVM is fitted to all clips at once; choose scheduler=none"),
        ("loss.class_weights=true", "loss.class_weights is true; expected false: SVM is fitted to all clips at once"),
        ("loss.label_smoothing=0.1", "loss.label_smoothing is 0.1; expected 0.0: SVM is fitted"),
        ("data.balance=classes", 'data.balance is "classes"; expected "none": SVM is fitted to all clips at once'),
        ("augment=spec_augment", "augment alters batches: SVM is fitted to all clips at once; choose one that makes"),
        ("augment=mixup", "augment alters batches: SVM is fitted to all clips at once"),
        ("model.class_weight=often", "model.class_weight is 'often'; expected"),
        ("model.folds=1", "model.folds is 1; expected at least 2"),
        ("model.c=[]", "model.c is []; expected finite numbers above 0"),
        ("model.c=1", "model.c is 1; expected"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(command, small, tmp_path, change, message):
    done = command("train", *words(small, tmp_path, "svm"), change)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert message in line
    assert not (tmp_path / "svm").exists()


def test_a_checkpoint_that_claims_more_than_it_has_is_refused(command, runs, synthetic_root, tmp_path):
    raw = torch.load(folder_of(runs, "svm") / "checkpoints" / "best.ckpt", weights_only=True)
    support = raw["state_dict"]["model.machine.support"]
    raw["state_dict"]["model.machine.support"] = torch.zeros(1, 1).expand(10**12, support.size(1))
    torch.save(raw, tmp_path / "huge.ckpt")
    done = command("predict", f"checkpoint={tmp_path}/huge.ckpt", f"input={synthetic_root}", f"output={tmp_path}/p.csv")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "huge.ckpt is of another model: it has misshaped machine." in line
