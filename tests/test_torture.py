"""Resuming after five real kills, and the comparison of run folders used for it."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from studies.torture import differences, where_it_fell

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="forks and kills as Linux does")
@pytest.mark.slow
def test_killed_runs_resume_to_equal_results(tmp_path):
    words = [sys.executable, "-m", "studies.torture", str(tmp_path / "torture"), "--kills", "5", "--seed", "3"]
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "processes that outlived a killed run: 0" in done.stdout
    assert done.stdout.splitlines()[-1] == "5 kills, 5 equal"


EXPECTED = {
    "result.json": {"metrics": {"loss": 0.1}, "seconds": {"train": 1.0}},
    "last.ckpt": {"state": torch.arange(3.0), "ended": [(4, 1.0)]},
    "tensorboard": [("val/uar", 4, 0.5)],
    "train.log": ["epoch 0"],
    "curves.png": b"png",
}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda found: found["result.json"].update(seconds={"train": 2.0}), []),
        (lambda found: found["last.ckpt"].update(ended=[(4, 2.0)]), []),
        (lambda found: found["result.json"]["metrics"].update(loss=0.1000000001), ["/result.json/metrics/loss"]),
        (lambda found: found["last.ckpt"]["state"].add_(1e-6), ["/last.ckpt/state"]),
        (lambda found: found["tensorboard"].append(("val/uar", 4, 0.5)), ["/tensorboard"]),
        (lambda found: found["train.log"].clear(), ["/train.log"]),
        (lambda found: found.pop("curves.png"), ["/curves.png"]),
        (lambda found: found.update({".left.tmp": b""}), ["/.left.tmp"]),
    ],
)
def test_differences_ignore_only_durations(change, names):
    found = copy.deepcopy(EXPECTED)
    change(found)
    assert differences(EXPECTED, found) == names


def test_where_it_fell_is_derived_from_leftover_files(tmp_path):
    assert where_it_fell(tmp_path) == "before training"
    (tmp_path / "checkpoints").mkdir()
    assert where_it_fell(tmp_path) == "in the first epoch"
    (tmp_path / "checkpoints" / ".best.ckpt.abc.tmp").touch()
    assert where_it_fell(tmp_path) == "while best.ckpt was written"
