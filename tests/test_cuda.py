"""Training on a CUDA device; skipped if there is none."""

import json

import pytest
import torch

from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.resident import ResidentDataset, fits
from ser_lightning.task import EmotionTask
from tests.cli.test_resume import stop

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def line(small, root, *words: str) -> list[str]:
    return ["experiment=corrected", *small, "trainer.accelerator=gpu", f"output_root={root}", "run_id=run", *words]


def result(root) -> dict:
    return json.loads((root / "corrected" / "run" / "result.json").read_text())


def test_resident_batches_equal_host_batches():
    import numpy as np

    lengths = np.array([3, 7, 5])
    frames = np.random.default_rng(0).standard_normal((15, 4)).astype(np.float32)
    offsets = np.cumsum(lengths) - lengths
    host = FeatureDataset(
        frames=frames, offsets=offsets, lengths=lengths, targets=np.array([0, 1, 0]), utterances=["a", "b", "c"]
    )
    device = torch.device("cuda")
    assert fits(host, device)
    resident = ResidentDataset(host, device=device)
    ours, theirs = resident.__getitems__([2, 0]), host.__getitems__([2, 0])
    assert ours.features.device.type == "cuda"
    assert torch.equal(ours.features.cpu(), theirs.features)
    assert torch.equal(ours.lengths.cpu(), theirs.lengths)


def test_run_is_reproducible_and_records_the_device(command, small, tmp_path):
    for root in (tmp_path / "one", tmp_path / "two"):
        assert command("train", *line(small, root)).code == 0
    one, two = result(tmp_path / "one"), result(tmp_path / "two")
    assert one["device"] == torch.cuda.get_device_name()
    assert one["metrics"] == two["metrics"]


def test_stopped_run_resumes_exactly(command, small, tmp_path):
    assert command("train", *line(small, tmp_path / "whole", "trainer.max_epochs=4")).code == 0
    words = line(small, tmp_path, "trainer.max_epochs=4")
    stop(words, EmotionTask, "training_step", lambda task, batch, i: task.current_epoch == 2)
    assert command("train", *words).code == 0
    assert result(tmp_path)["history"] == result(tmp_path / "whole")["history"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_trains(succeed, small, tmp_path, precision):
    succeed("train", *line(small, tmp_path, f"trainer.precision={precision}", "optim.fused=false"))
    losses = result(tmp_path)["history"]["train/loss"]
    assert all(0 < loss < 10 for loss in losses)
