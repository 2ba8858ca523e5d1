"""The launcher ``stacked`` on the command line."""

import json
import os
import signal
import subprocess
import time

import pytest
from studies.soak import descendants
from tests.cli.test_sweep import launch, one_by_one, results, sweep

from ser_lightning.cli.stacks import LauncherSettings
from ser_lightning.errors import InputError

STACKED = ("hydra/launcher=stacked", "hydra.launcher.n_jobs=1")


@pytest.mark.slow
def test_sweep_leaves_the_results_of_the_ordinary_launcher(small, tmp_path):
    """Four runs in two processes, one of which fails; later, two finished runs and two in one operation."""
    run_id = "run_id='model.hidden-${model.hidden}/optim.lr-${optim.lr}'"
    words = (*STACKED, "trainer.max_epochs=1", run_id)
    first = ("model.hidden=4", "optim.lr=0.001,0.002,0.003,1e30")
    done = launch(small, tmp_path, *words, *first, "hydra.launcher.n_jobs=2")
    folders = [f"model.hidden-4/optim.lr-{lr}" for lr in (0.001, 0.002, 0.003)]
    assert list(results(tmp_path)) == folders, done.stderr
    assert done.returncode == 1
    assert done.stderr.count("lower optim.lr") == 1
    assert "ser-train: 1 of 4 jobs failed." in done.stderr
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").rglob("*.ckpt")}
    again = launch(small, tmp_path, *words, "model.hidden=4,5", "optim.lr=0.001,0.002", "hydra.launcher.batched=true")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("already finished") == 2
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert "not stacked" not in again.stderr
    assert list(results(tmp_path)) == [*folders, *(f"model.hidden-5/optim.lr-{lr}" for lr in (0.001, 0.002))]
    one_by_one(small, tmp_path / "here", "model.hidden=5", "optim.lr=0.002", "trainer.max_epochs=1", seeds=[0])
    (expected,) = results(tmp_path / "here").values()
    folder = "model.hidden-5/optim.lr-0.002"
    found = json.loads((tmp_path / "sweep" / folder / "result.json").read_text())
    assert found["metrics"]["test"] == pytest.approx(expected["test"], abs=1e-5)
    assert found["choices"]["hydra/launcher"] == "stacked"
    assert found["overrides"][-1] == f"run_id='{folder}'"


@pytest.mark.slow
def test_runs_that_are_not_stacked_are_trained_one_by_one(small, tmp_path):
    done = launch(
        small, tmp_path, *STACKED, "model.hidden=4", "trainer.max_epochs=1", "trainer.accumulate_grad_batches=1,2"
    )
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)) == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("ser-train: not stacked: ")]
    assert len(lines) == 2
    assert "accumulate_grad_batches" in lines[1]


@pytest.mark.slow
def test_killed_stack_goes_on(small, tmp_path):
    words = (*STACKED, "model.hidden=4", "seed=0,1", "trainer.max_epochs=10", "hydra.launcher.save_every=0")
    saved = tmp_path / "sweep" / ".stacks"
    with subprocess.Popen(sweep(small, tmp_path, *words), stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 300
        while not list(saved.glob("*.ckpt")):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        for pid in set(descendants(process.pid)) - {process.pid}:
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "killed by SIGKILL" in err
    again = launch(small, tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert "resuming after epoch" in again.stderr
    assert len(results(tmp_path)) == 2
    assert not list(saved.iterdir())


@pytest.mark.parametrize("values", [{"n_jobs": 0}, {"max_runs": 1.5}, {"compiled": "yes"}, {"save_every": -1}])
def test_options_are_checked(values):
    usual = {"n_jobs": 2, "max_runs": None, "batched": None, "compiled": False, "save_every": 30}
    with pytest.raises(InputError, match=f"hydra.launcher.{next(iter(values))}"):
        LauncherSettings(**usual | values)
