"""Trainer options take effect, or are refused with a one-line error before any work."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ser_lightning.errors import InputError
from ser_lightning.train import train
from tests.configs import changed, composed

TRAIN = Path(sys.executable).parent / "ser-train"
BATCHES = 5  # 144 clips in batches of 32


def run(succeed, small, root, *words: str) -> dict:
    succeed("train", "experiment=corrected", *small, f"output_root={root}", "run_id=run", *words)
    return json.loads((root / "corrected" / "run" / "result.json").read_text())


@pytest.fixture
def plain(trained) -> dict:
    """Result of a run with default trainer options."""
    return json.loads((trained / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (["trainer.accumulate_grad_batches=2"], 2 * math.ceil(BATCHES / 2)),
        (["trainer.limit_train_batches=2"], 4),
        (["trainer.limit_train_batches=0.5"], 4),
        (["trainer.overfit_batches=1"], 2),
        (["trainer.max_epochs=3"], 3 * BATCHES),
    ],
)
def test_number_of_steps(succeed, small, tmp_path, plain, words, steps):
    result = run(succeed, small, tmp_path, *words)
    assert plain["steps"] == 2 * BATCHES
    assert result["steps"] == steps


@pytest.mark.slow
def test_overfit_batches_reuses_the_same_batch(succeed, small, tmp_path):
    words = ("trainer.overfit_batches=1", "trainer.max_epochs=30", "dropout=none", "optim.lr=0.01")
    result = run(succeed, small, tmp_path, *words)
    assert result["history"]["train/accuracy"][-1] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["num_sanity_val_steps=2", "detect_anomaly=true", "deterministic=false", "min_epochs=1"],
        ["val_check_interval=0.2", "limit_val_batches=1", "deterministic=warn", "gradient_clip_algorithm=norm"],
        ["enable_model_summary=true", "log_every_n_steps=1", "precision=32-true", "max_time=00:10:00:00"],
    ],
)
@pytest.mark.filterwarnings("ignore:You are trying to use sanity check.*")
def test_options_without_effect_on_results(succeed, small, tmp_path, plain, options):
    result = run(succeed, small, tmp_path, *(f"trainer.{option}" for option in options))
    for key in ("metrics", "history", "confusion_matrix", "epochs"):
        assert result[key] == plain[key]


@pytest.mark.slow
@pytest.mark.parametrize("words", [["trainer.gradient_clip_val=0.0001"], ["trainer.gradient_clip_algorithm=value"]])
def test_gradient_clipping_changes_the_training_loss(succeed, small, tmp_path, plain, words):
    assert run(succeed, small, tmp_path, *words)["history"]["train/loss"] != plain["history"]["train/loss"]


@pytest.mark.slow
def test_check_val_every_n_epoch(succeed, small, tmp_path):
    result = run(succeed, small, tmp_path, "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4")
    assert len(result["history"]["val/uar"]) == 2
    assert len(result["history"]["train/uar"]) == 4


@pytest.mark.slow
def test_run_is_evaluated_after_max_time(succeed, small, tmp_path):
    result = run(succeed, small, tmp_path, "trainer.max_time=00:00:00:02", "trainer.max_epochs=100000")
    assert 1 <= result["epochs"] < 100000
    assert set(result["metrics"]) == {"train", "val", "test"}


@pytest.mark.slow
def test_profiler_prints_its_report_and_keeps_the_results(command, small, tmp_path, plain):
    done = command("train", "experiment=corrected", *small, f"output_root={tmp_path}", "trainer.profiler=simple")
    assert "optimizer_step" in done.out + done.err
    (path,) = tmp_path.rglob("result.json")
    assert json.loads(path.read_text())["history"] == plain["history"]


def test_fast_dev_run_writes_no_files(succeed, small, tmp_path):
    succeed("train", "experiment=corrected", *small, f"output_root={tmp_path}/out", "trainer.fast_dev_run=true")
    assert not list((tmp_path / "out").rglob("*"))


def test_bf16_trains_or_is_refused_before_any_work(command, small, tmp_path):
    """Some CPUs cannot compute an LSTM in bf16."""
    words = ["experiment=corrected", *small, f"output_root={tmp_path}/out"]
    done = command("train", *words, "trainer.precision=bf16-mixed", "optim.fused=false", "run_id=run")
    if done.code == 0:
        assert (tmp_path / "out" / "corrected" / "run" / "result.json").is_file()
    else:
        (line,) = done.err.splitlines()
        assert "trainer.precision" in line
        assert "32-true" in line
        assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["trainer.num_nodes=2"], ["trainer.num_nodes"]),
        (["trainer.strategy=ddp_spawn", "trainer.devices=2"], ["trainer.strategy", "ddp"]),
        (["trainer.strategy=fsdp"], ["trainer.strategy", "ddp"]),
        (["trainer.devices=2", "trainer.accelerator=cpu"], ["trainer.devices", "trainer.strategy=ddp"]),
        (["trainer.devices=0"], ["trainer.devices"]),
        (["trainer.devices=-1"], ["trainer.devices"]),
        (["trainer.precision=16-mixed", "trainer.accelerator=cpu"], ["trainer.precision", "bf16-mixed"]),
        (["trainer.precision=bf16-mixed", "trainer.accelerator=cpu"], ["trainer.precision", "optim.fused=false"]),
        (["trainer.precision=64-true"], ["trainer.precision"]),
        (["trainer.limit_val_batches=0"], ["trainer.limit_val_batches"]),
        (["trainer.limit_test_batches=2"], ["trainer.limit_test_batches"]),
        (["trainer.limit_train_batches=0"], ["trainer.limit_train_batches"]),
        (["trainer.check_val_every_n_epoch=0"], ["trainer.check_val_every_n_epoch"]),
        (["trainer.check_val_every_n_epoch=null"], ["trainer.check_val_every_n_epoch"]),
        (["trainer.accumulate_grad_batches=0"], ["trainer.accumulate_grad_batches"]),
        (["trainer.max_steps=10"], ["trainer.max_steps", "trainer.max_epochs"]),
        (["+trainer.min_steps=10"], ["trainer.min_steps", "trainer.min_epochs"]),
        (["trainer.max_epochs=0"], ["trainer.max_epochs"]),
        (["trainer.min_epochs=-1"], ["trainer.min_epochs"]),
        (["trainer.max_time=soon"], ["trainer", "soon"]),
        (["trainer.overfit_batches=-1"], ["trainer.overfit_batches"]),
        (["trainer.fast_dev_run=-1"], ["trainer.fast_dev_run"]),
        (["trainer.num_sanity_val_steps=-2"], ["trainer.num_sanity_val_steps"]),
        (["trainer.profiler=fast"], ["trainer", "profiler"]),
        (["trainer.deterministic=maybe"], ["trainer.deterministic"]),
        (["trainer.accelerator=abacus"], ["trainer", "abacus"]),
        (["trainer.gradient_clip_algorithm=most"], ["trainer", "most"]),
        (["trainer.use_distributed_sampler=true"], ["trainer.use_distributed_sampler"]),
        (["trainer.sync_batchnorm=true"], ["trainer.sync_batchnorm"]),
        (["+trainer.enable_checkpointing=false"], ["trainer.enable_checkpointing"]),
        (["+trainer.logger=false"], ["trainer.logger", "logger="]),
        (["+trainer.callbacks=[]"], ["trainer.callbacks"]),
        (["+trainer.default_root_dir=x"], ["trainer.default_root_dir", "output_root"]),
        (["+trainer.barebones=true"], ["trainer.barebones", "trainer.fast_dev_run"]),
        (["trainer.val_check_interval=7"], ["val_check_interval"]),
        (["trainer.devices=2", "trainer.strategy=ddp", "evaluation.training_mode=true"], ["evaluation.training_mode"]),
    ],
)
def test_unsupported_options_are_refused(small, tmp_path, words, names):
    config = changed(
        composed("experiment=corrected", *small), f"output_root={tmp_path}", f"folder={tmp_path}/x", *words
    )
    with pytest.raises(InputError) as refused:
        train(config, choices={}, overrides=[])
    for name in names:
        assert name in str(refused.value)
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.slow
def test_ddp_counts_every_clip_once(small, tmp_path):
    """With DDP on two CPU processes, validation metrics equal those computed by one process."""
    words = ["experiment=corrected", *small, f"output_root={tmp_path}", "run_id=run"]
    ddp = ["trainer.devices=2", "trainer.strategy=ddp"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [str(TRAIN), *words, *ddp], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "corrected" / "run"
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 2 * math.ceil(BATCHES / 2)
    last = result["checkpoints"]["last"]["metrics"]["val"]  # evaluated by one process from the checkpoint
    assert {name: result["history"][f"val/{name}"][-1] for name in last} == pytest.approx(last, abs=1e-6)
    seen = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(seen["epochs"]) == 2
    assert len((folder / "predictions.csv").read_text().splitlines()) == 1 + 9 + 15
