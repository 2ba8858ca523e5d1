"""Epoch metrics, compared with scikit-learn on batches of unequal size."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import nn

from ser_lightning.epoch_metrics import EpochMetrics

CLASSES = 4


def drawn(clips: int, classes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=(clips, CLASSES)).astype(np.float32))
    return logits, torch.from_numpy(generator.choice(classes, size=clips))


def fill(epoch_metrics: EpochMetrics, logits: torch.Tensor, target: torch.Tensor, batch_size: int) -> None:
    for part, truth in zip(logits.split(batch_size), target.split(batch_size), strict=True):
        epoch_metrics.update(part, truth, nn.functional.cross_entropy(part, truth))


@pytest.mark.parametrize("batch_size", [1, 7, 16, 19, 20, 100])
@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 2], [3]], ids=str)
def test_epoch_metrics_match_sklearn_for_any_batch_size(batch_size, classes):
    logits, target = drawn(20, classes)
    epoch_metrics = EpochMetrics(classes=CLASSES)
    fill(epoch_metrics, logits, target, batch_size)
    prediction = logits.argmax(1)
    recall = reference.recall_score(target, prediction, labels=classes, average="macro", zero_division=0)
    expected = {
        "loss": reference.log_loss(target, logits.double().softmax(1), labels=range(CLASSES)),
        "accuracy": reference.accuracy_score(target, prediction),
        "uar": recall,  # over the classes that have clips
        "macro_f1": reference.f1_score(target, prediction, average="macro", zero_division=0),
    }
    assert epoch_metrics.compute() == pytest.approx(expected, abs=1e-6)


def test_batches_are_weighted_by_number_of_clips():
    """Batches with 3 of 3 and 0 of 1 correct clips: the mean over batches would be 1/2."""
    epoch_metrics = EpochMetrics(classes=2)
    epoch_metrics.update(torch.tensor([[2.0, 0.0]] * 3), torch.tensor([0, 0, 0]), torch.tensor(0.4))
    epoch_metrics.update(torch.tensor([[2.0, 0.0]]), torch.tensor([1]), torch.tensor(2.0))
    # Confusion [[3, 0], [1, 0]]: recalls 1 and 0, F1 6/7 and 0.
    expected = {"loss": (3 * 0.4 + 2.0) / 4, "accuracy": 3 / 4, "uar": 1 / 2, "macro_f1": 3 / 7}
    assert epoch_metrics.compute() == pytest.approx(expected)


def test_reset_clears_the_previous_epoch():
    logits, target = drawn(20, [0, 1, 2, 3])
    once, twice = EpochMetrics(classes=CLASSES), EpochMetrics(classes=CLASSES)
    fill(twice, logits, (target + 1) % CLASSES, 7)
    before = twice.compute()
    twice.reset()
    for epoch_metrics in (once, twice):
        fill(epoch_metrics, logits, target, 7)
    assert twice.compute() == once.compute() != before


def test_compute_without_clips_raises():
    epoch_metrics = EpochMetrics(classes=CLASSES)
    with pytest.warns(UserWarning, match="compute"), pytest.raises(ValueError, match="it counts none"):
        epoch_metrics.compute()
