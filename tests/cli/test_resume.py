"""A stopped run resumes and gives the same result as an uninterrupted run."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from studies.torture import contents, epoch_lines, events
from tests.conftest import run_command

from ser_lightning import evaluate
from ser_lightning.corpora.audio_files import sha256
from ser_lightning.errors import InputError
from ser_lightning.results import science_digest
from ser_lightning.run_folder import Unfinished, check_same_data, find_unfinished
from ser_lightning.task import EmotionTask

pytestmark = pytest.mark.slow

EPOCHS, DONE = 4, 2


class Stop(BaseException):
    """Simulates a kill, because the package does not catch it."""


@pytest.fixture(scope="module")
def small(small_with_logs: list[str]) -> list[str]:
    """Overrides of short runs with TensorBoard and calibration, which the tests of this module compare."""
    return small_with_logs


def words(small: list[str], root: Path) -> list[str]:
    return ["experiment=corrected", *small, f"trainer.max_epochs={EPOCHS}", "optim.lr=0.01", f"output_root={root}"]


def folder_of(root: Path) -> Path:
    return root / "corrected" / "dropout-p25" / "seed-0"


def stop(command_line: list[str], what: object, name: str, when) -> None:
    """Run the command until the function ``name`` of ``what`` gets arguments that satisfy ``when``."""
    whole = getattr(what, name)

    def until(*arguments, **named):
        if when(*arguments):
            raise Stop
        return whole(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(what, name, until)
        run_command("train", *command_line)


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory) -> Path:
    """The folder of an uninterrupted run."""
    root = tmp_path_factory.mktemp("whole")
    assert run_command("train", *words(small, root))[0] == 0
    return folder_of(root)


@pytest.fixture(scope="module")
def stopped(small, tmp_path_factory) -> Path:
    """The output root of a run that was stopped in its third epoch."""
    root = tmp_path_factory.mktemp("stopped")
    stop(words(small, root), EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == DONE and i == 1)
    left = {path.name for path in (folder_of(root) / "checkpoints").iterdir()}
    assert left == {"best.ckpt", "last.ckpt", "last.previous.ckpt"}
    return root


@pytest.fixture
def moved(stopped, tmp_path) -> Path:
    """The output root of a copy of the stopped run."""
    shutil.copytree(stopped, tmp_path / "moved")
    return tmp_path / "moved"


def assert_same_end(folder: Path, whole: Path, *, result: str = "result.json", epochs: int = EPOCHS) -> None:
    one, two = (json.loads((run / result).read_text()) for run in (folder, whole))
    elsewhere = {"seconds", "overrides", "config"}
    assert {key: value for key, value in one.items() if key not in elsewhere} == {
        key: value for key, value in two.items() if key not in elsewhere
    }
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (folder, whole))
        assert ours["epoch"] == theirs["epoch"]
        assert ours["loops"] == theirs["loops"]
        assert all(torch.equal(value, theirs["state_dict"][key]) for key, value in ours["state_dict"].items())
        assert ours["optimizer_states"][0]["param_groups"] == theirs["optimizer_states"][0]["param_groups"]
    assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    ours, theirs = (sorted(scalars(run)) for run in (folder, whole))
    assert ours == theirs
    ours = [(tag, step) for tag, step, _ in ours if tag != "epoch"]  # Lightning adds it to every row
    assert len(set(ours)) == len(ours)
    assert epoch_lines(folder / "train.log") == epoch_lines(whole / "train.log")
    assert len(epoch_lines(folder / "train.log")) == epochs
    assert {p.relative_to(folder) for p in folder.rglob("*") if "events" not in p.name} == {
        p.relative_to(whole) for p in whole.rglob("*") if "events" not in p.name
    }


def scalars(run: Path) -> list[tuple[str, int, float]]:
    return [e for path in (run / "tensorboard").glob("events*") for e in events(path) if e[2] is not None]


def test_stopped_run_resumes_after_being_moved(succeed, small, moved, whole):
    done = succeed("train", *words(small, moved))
    assert f"resuming after epoch {DONE} of {EPOCHS}" in done.err
    assert_same_end(folder_of(moved), whole)
    state = torch.load(folder_of(moved) / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    paths = [own["best_model_path"] for own in state.values()]
    assert paths
    assert all(path.startswith(str(moved)) for path in paths)


@pytest.mark.parametrize(
    "more",
    [
        ["augment=mixup", "data.balance=classes", "scheduler=plateau", "scheduler.threshold=9"],
        [
            *("augment=spec_augment", "loss.class_weights=true", "loss.label_smoothing=0.1", "optim=sgd"),
            *("scheduler=cosine_restarts", "scheduler.T_0=3"),
        ],
    ],
    ids=["mixup, balance, plateau", "spec_augment, loss, cosine_restarts"],
)
def test_batch_augmentation_and_scheduler_resume_exactly(command, small, tmp_path, more):
    more = [*more, "calibrate=false"]
    assert command("train", *words(small, tmp_path / "whole"), *more).code == 0
    stop(
        [*words(small, tmp_path), *more],
        *(EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == DONE and i == 1),
    )
    assert command("train", *words(small, tmp_path), *more).code == 0
    assert_same_end(folder_of(tmp_path), folder_of(tmp_path / "whole"))
    rates = json.loads((folder_of(tmp_path) / "result.json").read_text())["history"]["train/learning_rate"]
    assert len(rates) == EPOCHS
    assert rates[DONE] != rates[DONE + 1]  # the learning rate changed after the run was stopped


def test_run_from_other_weights_resumes_exactly(command, succeed, small, tmp_path, trained):
    """A run that started from a checkpoint, with frozen modules and two learning rates, resumes from its own."""
    start = [f"init_from={trained / 'checkpoints' / 'best.ckpt'}", "freeze=[convolutions]", "lr_factors={lstm: 0.1}"]
    start += ["calibrate=false"]
    assert command("train", *words(small, tmp_path / "whole"), *start).code == 0
    stop(
        [*words(small, tmp_path), *start],
        *(EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == DONE and i == 1),
    )
    done = succeed("train", *words(small, tmp_path), *start)
    assert f"resuming after epoch {DONE} of {EPOCHS}" in done.err
    assert_same_end(folder_of(tmp_path), folder_of(tmp_path / "whole"))
    result = json.loads((folder_of(tmp_path) / "result.json").read_text())
    assert result["initialization"]["sha256"] == sha256(trained / "checkpoints" / "best.ckpt")


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


def flip(path: Path) -> None:
    """Change one bit of the weights."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip])
def test_damaged_checkpoint_is_reported_and_the_previous_one_used(succeed, small, moved, whole, damage):
    last = folder_of(moved) / "checkpoints" / "last.ckpt"
    damage(last)
    done = succeed("train", *words(small, moved))
    assert any(str(last) in line and line.endswith("skipped") for line in done.err.splitlines())
    assert f"resuming after epoch {DONE - 1} of {EPOCHS}" in done.err
    assert_same_end(folder_of(moved), whole)


@pytest.mark.parametrize("names", [("last.ckpt", "last.previous.ckpt"), ("best.ckpt",)])
def test_run_without_a_valid_checkpoint_restarts(succeed, small, moved, whole, names):
    paths = [folder_of(moved) / "checkpoints" / name for name in names]
    for path in paths:
        flip(path)
    done = succeed("train", *words(small, moved))
    assert all(f"{path}" in done.err for path in paths)
    assert "can be used: the run starts from the beginning" in done.err
    assert_same_end(folder_of(moved), whole)


def without_state(raw: dict) -> None:
    del raw["resume"]


def in_the_middle(raw: dict) -> None:
    """Make it look like a checkpoint that Lightning wrote during an epoch."""
    raw["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"] -= 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_state, "last.ckpt has no training state to resume from: skipped"),
        (in_the_middle, "last.ckpt was written in the middle of an epoch, where a run cannot resume exactly: skipped"),
    ],
)
def test_checkpoint_not_from_the_end_of_an_epoch_is_skipped(stopped, tmp_path, caplog, spoil, reason):
    shutil.copytree(folder_of(stopped), tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    raw = torch.load(last, weights_only=True)
    digest = science_digest(raw["ser_lightning"]["config"])
    assert find_unfinished(tmp_path / "run", digest).path == last
    spoil(raw)
    torch.save(raw, last)
    found = find_unfinished(tmp_path / "run", digest)
    assert (found.path.name, found.epochs) == ("last.previous.ckpt", DONE - 1)
    assert reason in caplog.text


def test_resume_with_validation_every_other_epoch(command, small, tmp_path):
    """A checkpoint is also written after epochs without validation."""
    odd = ("trainer.check_val_every_n_epoch=2", "calibrate=false")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*could not find the monitored key.*")  # before the first validation
        assert command("train", *words(small, tmp_path / "whole"), *odd).code == 0
        stop([*words(small, tmp_path), *odd], EmotionTask, "training_step", lambda task, *_: task.current_epoch == 3)
        assert command("train", *words(small, tmp_path), *odd).code == 0
    assert_same_end(folder_of(tmp_path), folder_of(tmp_path / "whole"))


def test_unfinished_run_of_another_configuration_is_refused(refused, small, moved):
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    line = refused("train", *words(small, moved), "optim.lr=0.02")
    assert "holds an unfinished run of another configuration" in line
    assert "name= or run_id=" in line
    assert {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["write_summary", "write_json"])
def test_run_stopped_while_writing_its_result_resumes(succeed, small, tmp_path, whole, name):
    stop(words(small, tmp_path), evaluate, name, lambda *_: True)
    assert not (folder_of(tmp_path) / "result.json").exists()
    done = succeed("train", *words(small, tmp_path))
    assert f"resuming after epoch {EPOCHS} of {EPOCHS}" in done.err
    assert_same_end(folder_of(tmp_path), whole)


def test_resume_does_not_train_after_early_stopping(command, small, tmp_path):
    """A resumed run must not train the epochs that early stopping skipped."""
    early = [
        *("+callbacks.early._target_=pytorch_lightning.callbacks.EarlyStopping", "+callbacks.early.monitor=val/loss"),
        *("+callbacks.early.mode=max", "+callbacks.early.patience=1", "+callbacks.early.min_delta=9"),
        *("logger=[]", "calibrate=false"),
    ]
    assert command("train", *words(small, tmp_path / "whole"), *early).code == 0
    stop([*words(small, tmp_path), *early], evaluate, "write_json", lambda *_: True)
    assert command("train", *words(small, tmp_path), *early).code == 0
    one, two = (json.loads((folder_of(root) / "result.json").read_text()) for root in (tmp_path, tmp_path / "whole"))
    assert one["epochs"] == two["epochs"] < EPOCHS
    assert (one["history"], one["metrics"]) == (two["history"], two["metrics"])


def test_resume_refuses_another_corpus_and_warns_about_versions(tmp_path, caplog):
    run = Unfinished(path=tmp_path, epochs=1, corpus="a", versions={"torch": "1"})
    with pytest.raises(InputError, match=r"holds an unfinished run on another corpus .*remove the folder"):
        check_same_data(run, folder=tmp_path, corpus="b", versions={"torch": "1"})
    assert not caplog.messages
    check_same_data(run, folder=tmp_path, corpus="a", versions={"torch": "2"})
    assert "torch 1 -> 2" in caplog.text


def test_contents_lists_the_files_of_a_run(whole):
    """``make torture`` compares these contents."""
    found = contents(whole)
    assert {"checkpoints/last.ckpt", "result.json", "tensorboard", "train.log", "predictions.csv"} <= found.keys()
    assert ("epoch", 4, 0.0) in found["tensorboard"]
