"""Runs of a stack: their results, failures and resumes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.configs import composed

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.interrupts import InterruptedRunError
from ser_lightning.stacked import run as stacked
from ser_lightning.stacked.jobs import Job
from ser_lightning.stacked.run import DONE, FAILED, LEFT, StackTrainer
from ser_lightning.train import train

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*", "ignore:.*TensorBoard.*", "ignore:.*TF32.*")
CHOICES = {"split": "random"}
STOPPING = ("callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=1")


@pytest.fixture(scope="module", autouse=True)
def _without_onednn() -> Iterator[None]:
    """Let a run alone add in the order of a stack: oneDNN adds in one that depends on the processor.

    In single precision, such a difference can decide which of two values is the largest, and change weights by 6e-4.
    """
    with torch.backends.mkldnn.flags(enabled=False):
        yield


class Outcomes(dict[str, tuple[str, str]]):
    """Outcomes of runs by their names."""

    def report(self, folder: str, state: str, reason: str) -> None:
        self[Path(folder).name] = (state, reason)


def job(small: list[str], root: Path, name: str, *words: str) -> Job:
    config = composed(
        *small, "logger=csv", f"output_root={root}", f"run_id={name}", "calibrate=false", "threads=1", *words
    )
    return Job(config=config, choices=CHOICES, overrides=[])


def train_stack(jobs: list[Job], root: Path, **options: Any) -> Outcomes:
    outcomes = Outcomes()
    settings: dict[str, Any] = {"batched": True, "compiled": False, "max_runs": None} | options
    settings = {"workers_count": 0, "save_every": 1e9} | settings
    StackTrainer(jobs=jobs, checkpoint=root / ".stacks" / "a.ckpt", report=outcomes.report, **settings).train()
    return outcomes


def result(root: Path, name: str) -> dict[str, Any]:
    return json.loads((root / "train" / name / "result.json").read_text())


def scalars(root: Path, name: str) -> list[str]:
    return sorted((root / "train" / name / "csv" / "metrics.csv").read_text().splitlines())


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> tuple[Path, Outcomes]:
    """Runs of a stack: one that stops early, one whose loss becomes NaN, one that trains to the end, and a refit."""
    root = tmp_path_factory.mktemp("stack")
    epochs = "trainer.max_epochs=4"
    jobs = [
        job(small, root, "a", epochs, *STOPPING),
        job(small, root, "b", epochs, "seed=1", "optim.lr=1e30"),
        job(small, root, "c", epochs, "seed=2", "dropout=none"),
        job(small, root, "d", epochs, "seed=3", "split.refit=true"),
    ]
    return root, train_stack(jobs, root)


@pytest.mark.parametrize(
    ("name", "words"), [("a", STOPPING), pytest.param("d", ("seed=3", "split.refit=true"), marks=pytest.mark.slow)]
)
def test_stacked_runs_leave_the_results_of_runs_alone(finished, small, tmp_path, name, words):
    root, outcomes = finished
    assert {name: state for name, (state, _) in outcomes.items()} == {"a": DONE, "b": FAILED, "c": DONE, "d": DONE}
    alone = job(small, tmp_path, name, "trainer.max_epochs=4", *words)
    train(alone.config, choices=CHOICES, overrides=[])
    ours, theirs = result(root, name), result(tmp_path, name)
    assert ours.keys() == theirs.keys()
    assert ours["epochs"] == theirs["epochs"]
    assert ours["metrics"]["test"] == pytest.approx(theirs["metrics"]["test"], abs=1e-5)
    assert ours["checkpoints"]["best"]["epoch"] == theirs["checkpoints"]["best"]["epoch"]
    for metric, values in theirs["history"].items():
        assert ours["history"][metric] == pytest.approx(values, abs=1e-5)
    rows, expected = scalars(root, name), scalars(tmp_path, name)
    assert rows[-1] == expected[-1], "the heading"
    assert len(rows) == len(expected)
    names = [
        sorted(
            p.name for p in folder.rglob("*") if p.is_file() and p.name != "train.log"
        )  # a run alone: by its command
        for folder in (root / "train" / name, tmp_path / "train" / name)
    ]
    assert names[0] == names[1]
    for which in ("best", "last"):
        path = Path("train") / name / "checkpoints" / f"{which}.ckpt"
        stacked_, alone_ = read_checkpoint(root / path), read_checkpoint(tmp_path / path)
        assert stacked_.epoch == alone_.epoch
        assert all(torch.allclose(alone_.state[tensor], value, atol=1e-4) for tensor, value in stacked_.state.items())


def test_run_whose_loss_is_not_finite_ends_alone(finished):
    root, outcomes = finished
    assert "the loss became" in outcomes["b"][1]
    assert "epoch 0; lower optim.lr" in outcomes["b"][1]
    assert not (root / "train" / "b" / "result.json").exists()
    assert not (root / "train" / "b" / ".lock").exists()
    assert result(root, "c")["epochs"] == 4


def test_killed_stack_resumes(finished, small, tmp_path, monkeypatch, caplog):
    """The runs continue after the last saved epoch, and a finished one is not trained again."""
    caplog.set_level("DEBUG", logger="ser_lightning")  # the level of the commands, with which epochs are logged
    root, _ = finished
    jobs = [
        job(small, tmp_path, "c", "trainer.max_epochs=4", "seed=2", "dropout=none"),
        job(small, tmp_path, "a", "trainer.max_epochs=4", *STOPPING),
    ]
    saved = []

    def save_and_die(stack, path):
        save_stack(stack, path)
        saved.append(stack.runs[0].epoch)
        if len(saved) == 2:
            raise InterruptedRunError(15)

    save_stack = stacked.save_stack
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        patch.setattr(stacked, "save_stack", save_and_die)
        train_stack(jobs, tmp_path, save_every=0)
    assert saved == [1, 2]
    outcomes = train_stack(jobs, tmp_path)
    assert outcomes == {"a": (DONE, ""), "c": (DONE, "")}
    for name in ("a", "c"):
        for metric, values in result(root, name)["history"].items():
            assert result(tmp_path, name)["history"][metric] == pytest.approx(values, abs=1e-6)
        assert len(scalars(tmp_path, name)) == len(scalars(root, name))
        log = (tmp_path / "train" / name / "train.log").read_text()
        assert [f"DEBUG epoch {n} " in log for n in range(4)] == [n < result(root, name)["epochs"] for n in range(4)]
    stamp = (tmp_path / "train" / "a" / "result.json").stat().st_mtime_ns
    assert train_stack(jobs, tmp_path) == outcomes
    assert (tmp_path / "train" / "a" / "result.json").stat().st_mtime_ns == stamp
    assert not list((tmp_path / ".stacks").iterdir())


@pytest.mark.slow
def test_stacked_students_learn_from_their_teacher(small, tmp_path):
    teacher = job(small, tmp_path, "teacher", "trainer.max_epochs=1")
    train(teacher.config, choices=CHOICES, overrides=[])
    words = ("trainer.max_epochs=2", f"data.teacher={tmp_path / 'train' / 'teacher'}", "data.normalize=speaker")
    shares = {"a": ("data.teacher_share=0.9",), "b": ("seed=1",)}
    students = [job(small, tmp_path, name, *words, *own) for name, own in shares.items()]
    assert train_stack(students, tmp_path) == dict.fromkeys(shares, (DONE, ""))
    alone = job(small, tmp_path / "alone", "a", *words, *shares["a"])
    train(alone.config, choices=CHOICES, overrides=[])
    ours, theirs = result(tmp_path, "a"), result(tmp_path / "alone", "a")
    assert ours["teacher"] == theirs["teacher"]
    assert ours["audit"] == theirs["audit"]
    assert ours["history"]["train/loss"] == pytest.approx(theirs["history"]["train/loss"], abs=1e-5)
    assert result(tmp_path, "b")["teacher"]["share"] == 0.5


def test_step_that_torch_cannot_compile_is_not_compiled(small, tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    jobs = [job(small, tmp_path, name, f"seed={seed}", "trainer.max_epochs=1") for seed, name in enumerate("ab")]
    assert train_stack(jobs, tmp_path, compiled=True) == {"a": (DONE, ""), "b": (DONE, "")}
    assert "the step is not compiled, because torch fails: no compiler" in caplog.messages


def test_network_without_a_stacked_form_is_left(small, tmp_path):
    jobs = [job(small, tmp_path, f"run{seed}", "model=lim_lstm", f"seed={seed}") for seed in range(2)]
    outcomes = train_stack(jobs, tmp_path)
    assert set(outcomes.values()) == {(LEFT, "LimLSTM has no stacked form")}


def test_device_that_is_missing_is_left_to_the_ordinary_launcher(small, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    outcomes = train_stack([job(small, tmp_path, name, "trainer.accelerator=gpu") for name in ("a", "b")], tmp_path)
    assert {state for state, _ in outcomes.values()} == {LEFT}
