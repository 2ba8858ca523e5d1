"""Training on a CUDA device; skipped if there is none."""

import json

import pytest
import torch

from ser_lightning.augment.spectrogram import SpectrogramAugment
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.resident import ResidentDataset, fits
from ser_lightning.task import EmotionTask
from tests.cli.test_resume import stop
from tests.cli.test_sweep import launch

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


def test_batches_are_augmented_on_the_device():
    import numpy as np

    lengths = np.array([60, 41, 41, 7])
    masks = {"frequency_masks": 2, "frequency_width": 9, "time_masks": 2, "time_width": 20, "time_share": 0.2}
    augment = SpectrogramAugment(time_warp=0.2, frequency_warp=0.1, gain_db=6.0, masks=masks, mixup=0.3)
    changes = augment.draw(lengths, rows=40, generator=np.random.default_rng(0))
    features = torch.randn(4, 60, 40)
    device = torch.device("cuda")
    found = changes.apply(features.to(device), mean=torch.zeros(40, device=device))
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), changes.apply(features, mean=torch.zeros(40)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("words", [["experiment=corrected"], ["experiment=generalist"]])
def test_compiled_stack_has_the_losses_of_a_stack(small, tmp_path, words):
    """Without dropout and augmentation, whose random numbers would be the same, but not their rounding."""
    losses = []
    for compiled in ("false", "true"):
        root = tmp_path / compiled
        launcher = ["hydra/launcher=stacked", f"hydra.launcher.compiled={compiled}", "trainer.accelerator=gpu"]
        more = ["dropout=none", "augment=none", "seed=0,1", "trainer.max_epochs=2"]
        done = launch(small, root, *words, *more, *launcher)
        assert done.returncode == 0, done.stderr
        assert "not stacked" not in done.stderr
        assert "not compiled" not in done.stderr
        results = [json.loads(path.read_text()) for path in sorted(root.rglob("result.json"))]
        losses.append([loss for found in results for loss in found["history"]["train/loss"]])
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


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
