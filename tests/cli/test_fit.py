"""Classical models write the same runs, predictions and reports as the networks."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from studies.torture import events
from tests.cli.run_files import result_of
from tests.cli.test_resume import stop
from tests.configs import configured
from tests.conftest import run_command, without_calibration

from ser_lightning import evaluate, fit
from ser_lightning.baselines.search import GroupSearch
from ser_lightning.errors import InputError
from ser_lightning.labels import RAVDESS
from ser_lightning.train import train

pytestmark = pytest.mark.slow

# Overrides that make each experiment quick.
QUICK = {
    "svm": ["model.c=[1,10]", "model.gamma=[0.1,1]"],
    "logistic": ["model.c=[0.01,0.1]"],
    "gmm": ["model.components=[1,2]", "model.floor=[0.1]"],
    "dbn_svm": ["model.c=[1,10]", "model.gamma=[0.1,1]", "model.pretrain_epochs=5", "model.fine_tune_steps=10"],
}
PLAIN = ("logger=[]", "calibrate=false")  # for runs whose loggers and calibration are not compared
ELSEWHERE = ("seconds", "overrides", "config")  # keys of a result that depend on where and when the run was made


@pytest.fixture(scope="module")
def small(small_with_logs: list[str]) -> list[str]:
    """Overrides of short runs with TensorBoard and calibration, which the tests of this module compare."""
    return small_with_logs


def words(small: list[str], root: Path, experiment: str) -> list[str]:
    return [f"experiment={experiment}", *without_epochs(small), *QUICK[experiment], f"output_root={root}"]


def without_epochs(given: list[str]) -> list[str]:
    return [word for word in given if not word.startswith("trainer.max_epochs")]


def folder_of(root: Path, experiment: str) -> Path:
    return root / experiment / "dropout-none" / "seed-0"


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory) -> Path:
    """The output root of a finished run of each experiment."""
    root = tmp_path_factory.mktemp("classical")
    for experiment in QUICK:
        assert run_command("train", *words(small, root, experiment))[0] == 0
    return root


every = pytest.mark.parametrize("experiment", QUICK)


@every
def test_run_writes_the_same_files_as_a_network_run(runs, trained, experiment):
    folder = folder_of(runs, experiment)
    files, networks = (
        {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and "events" not in path.name}
        for run in (folder, trained)
    )
    assert files == networks - {"curves.png"}  # there are no epochs to draw
    result, of_network = result_of(folder), result_of(trained)
    assert result.keys() - {"chosen"} == of_network.keys()
    assert (result["epochs"], result["history"]) == (0, {})
    assert result["checkpoints"]["best"] == result["checkpoints"]["last"]
    assert result["counts"] == {"train": 36, "val": 9, "test": 15, "train_with_copies": 36}
    assert result["seconds"]["train"] > 0
    assert "scikit-learn" in result["versions"]


@every
def test_result_contains_selected_values_and_model_size(runs, experiment):
    folder = folder_of(runs, experiment)
    result, config = result_of(folder), result_of(folder)["config"]["model"]
    chosen = result["chosen"]
    assert 0 < chosen.pop("uar") < 1
    assert chosen
    for name, value in chosen.items():
        assert value in config[name]
    assert f"chosen by inner validation: {next(iter(chosen))} " in (folder / "train.log").read_text()
    assert result["parameters"] > 1000
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == {"model.estimator"}


@every
def test_optimizer_and_epochs_are_not_logged(runs, experiment):
    folder = folder_of(runs, experiment)
    tags = {tag for path in (folder / "tensorboard").glob("events*") for tag, _, _ in events(path)}
    assert any(tag.startswith("test/") for tag in tags)  # audio of test clips
    assert not {tag for tag in tags if "learning_rate" in tag or tag == "epoch"}
    assert " epoch 0 " not in (folder / "train.log").read_text()


@every
def test_audit_covers_normalizer_and_checkpoint_selection(runs, experiment):
    audit = result_of(folder_of(runs, experiment))["audit"]
    (normalizer,) = [finding for finding in audit["findings"] if finding["name"].startswith("normalizer")]
    assert normalizer["sentence"] == "the network standardizes by statistics of the training rows"
    assert not normalizer["found"], normalizer
    (choice,) = [finding for finding in audit["findings"] if finding["name"] == "checkpoint chosen on test"]
    assert choice["sentence"] == "the checkpoint is the only one, chosen by no metric"


@every
def test_evaluate_reproduces_the_metrics(command, runs, experiment):
    done = command("evaluate", str(folder_of(runs, experiment)))
    assert (done.code, done.out.splitlines()[-1]) == (0, "The metrics are equal to the last digit."), done.err


@every
def test_predict_matches_the_run_for_any_batch_size(command, runs, synthetic_root, tmp_path, experiment):
    folder = folder_of(runs, experiment)
    tables = []
    for size in (7, 60):
        path = tmp_path / f"{size}.csv"
        checkpoint = without_calibration(folder / "checkpoints" / "best.ckpt", tmp_path)
        given = [str(synthetic_root), "--model", str(checkpoint), "--output", str(path)]
        assert command("predict", *given, "--set", f"data.batch_size={size}").code == 0
        tables.append({Path(row["path"]).stem: row for row in csv.DictReader(path.read_text().splitlines())})
    for row in csv.DictReader((folder / "predictions.csv").read_text().splitlines()):
        for table in tables:
            assert table[row["utterance"]]["prediction"] == row["prediction"]
            for emotion in RAVDESS:
                assert float(table[row["utterance"]][emotion]) == pytest.approx(float(row[emotion]), abs=5e-6)


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
    assert {p.relative_to(folder) for p in folder.rglob("*") if "events" not in p.name} == {
        p.relative_to(whole) for p in whole.rglob("*") if "events" not in p.name
    }


@pytest.mark.parametrize(
    ("experiment", "where"),
    [
        ("svm", (GroupSearch, "fit")),
        ("gmm", (fit, "predict_subset")),
        ("logistic", (evaluate, "write_json")),
        ("dbn_svm", (fit, "save_checkpoints")),
    ],
)
def test_killed_run_restarts_and_gives_the_same_result(command, runs, small, tmp_path, experiment, where):
    """Two runs with the same seed are therefore identical."""
    given = words(small, tmp_path, experiment)
    stop(given, *where, lambda *_: True)
    assert not (folder_of(tmp_path, experiment) / "result.json").exists()
    assert command("train", *given).code == 0
    assert_same_end(folder_of(tmp_path, experiment), folder_of(runs, experiment))


def test_finished_run_is_skipped(succeed, runs, small, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(fit, "fit_baseline", fail)
    before = (folder_of(runs, "svm") / "result.json").read_bytes()
    done = succeed("train", *words(small, runs, "svm"))
    assert "already finished" in done.err
    assert (folder_of(runs, "svm") / "result.json").read_bytes() == before


def test_unfinished_run_of_another_configuration_is_kept(command, refused, small, tmp_path):
    given = [*words(small, tmp_path, "svm"), *PLAIN]
    stop(given, evaluate, "write_json", lambda *_: True)
    last = folder_of(tmp_path, "svm") / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    line = refused("train", *given, "model.c=[1]")
    assert str(folder_of(tmp_path, "svm")) in line
    assert "run_id=" in line
    assert last.read_bytes() == before
    last.write_bytes(before[:1000])  # damaged: nothing to keep
    assert command("train", *given, "model.c=[1]").code == 0


@pytest.mark.usefixtures("few_draws")
def test_report_compares_classical_models(command, runs, tmp_path):
    for experiment in ("svm", "logistic"):
        shutil.copytree(folder_of(runs, experiment), tmp_path / experiment)
    assert command("report", str(tmp_path), "--arm", "model").code == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["arms"].keys() == {"svm", "logistic"}


def test_augmented_copies_are_used_in_training(command, runs, small, tmp_path):
    assert command("train", *words(small, tmp_path, "logistic"), *PLAIN, "augment=paper").code == 0
    result, without = (result_of(folder_of(root, "logistic")) for root in (tmp_path, runs))
    assert result["counts"]["train_with_copies"] == 144
    assert result["metrics"] != without["metrics"]


def test_augment_first_copies_are_evaluated(command, small, tmp_path):
    given = [*words(small, tmp_path, "logistic"), *PLAIN, "augment=paper", "data.augment_first=true"]
    assert command("train", *given).code == 0
    result = result_of(folder_of(tmp_path, "logistic"))
    assert sum(result["counts"][subset] for subset in ("train", "val", "test")) == 4 * 60
    rows = list(csv.DictReader((folder_of(tmp_path, "logistic") / "split.csv").read_text().splitlines()))
    assert len(rows) == 4 * 60
    assert result["audit"]["leak"]


REFUSED = {
    "trainer.max_epochs=2": ("trainer.max_epochs is 2", "without a Trainer"),
    "trainer.gradient_clip_val=2.0": ("trainer.gradient_clip_val is 2.0",),
    "+trainer.limit_train_batches=2": ("trainer.limit_train_batches is 2", "null"),
    "optim.lr=0.1": ("optim.lr is 0.1",),
    "optim=sgd": ("optim.",),
    "scheduler=cosine_restarts": ("scheduler.",),
    "callbacks.best.mode=min": ("callbacks.best.mode",),
    "monitor=val/loss": ("monitor is", "val/loss"),
    "loss.class_weights=true": ("loss.class_weights is true", "model.class_weight=balanced"),
    "loss.label_smoothing=0.1": ("loss.label_smoothing is 0.1", "model.class_weight=balanced"),
    "evaluation.training_mode=true": ("evaluation.training_mode is true",),
    "data.balance=classes": ('data.balance is "classes"', "model.class_weight=balanced"),
    "augment=spec_augment": ("augment alters batches", "augment=none"),
    "augment=mixup": ("augment alters batches", "augment=none"),
    "model.class_weight=often": ("model.class_weight is 'often'",),
    "model.folds=1": ("model.folds is 1",),
    "model.c=[]": ("model.c is []",),
    "model.c=1": ("model.c is 1; expected",),
}


@pytest.mark.parametrize(("change", "parts"), REFUSED.items(), ids=REFUSED)
def test_inapplicable_options_are_refused(small, tmp_path, change, parts):
    config = configured(*words(small, tmp_path, "svm"), f"folder={tmp_path}/svm", change)
    with pytest.raises(InputError) as refused:
        train(config, choices={}, overrides=[])
    assert all(part in str(refused.value) for part in parts), refused.value
    assert not (tmp_path / "svm").exists()


def test_options_without_effect_are_accepted(command, runs, small, tmp_path):
    given = [*words(small, tmp_path, "logistic"), *PLAIN]
    assert command("train", *given, "trainer.accelerator=cpu", "trainer.max_epochs=80", "checkpoint=last").code == 0
    result, usual = (result_of(folder_of(root, "logistic")) for root in (tmp_path, runs))
    assert result["metrics"] == usual["metrics"]


def test_evaluate_refuses_a_changed_model(command, runs):
    done = command("evaluate", str(folder_of(runs, "svm")), "--set", "model.folds=3")
    assert done.code == 1
    assert "holds another model than its config describes" in done.err.splitlines()[-1]


def test_checkpoint_with_an_oversized_tensor_is_refused(refused, runs, synthetic_root, tmp_path):
    raw = torch.load(folder_of(runs, "svm") / "checkpoints" / "best.ckpt", weights_only=True)
    raw["state_dict"]["model.estimator"] = torch.zeros(1, dtype=torch.uint8).expand(10**12)
    torch.save(raw, tmp_path / "huge.ckpt")
    line = refused("predict", str(synthetic_root), "--model", f"{tmp_path}/huge.ckpt")
    assert "huge.ckpt holds no fitted pipeline" in line
