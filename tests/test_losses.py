"""Training loss, compared with hand-computed values."""

import math

import pytest
import torch
from torch.nn import functional as F

from ser_lightning.errors import InputError
from ser_lightning.losses import EmotionLoss

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0], [-1.0, 3.0, 0.5], [0.2, 0.1, 0.4]])
TARGET = torch.tensor([0, 1, 1, 0])
COUNTS = [6, 2, 0]  # 8 clips of 2 classes: balanced would be 4 each


def loss(*, class_weights: bool = False, label_smoothing: float = 0.0) -> EmotionLoss:
    made = EmotionLoss(class_weights=class_weights, label_smoothing=label_smoothing)
    made.weigh(COUNTS)
    return made


def log_probability(row: int, label: int) -> float:
    logits = LOGITS[row].tolist()
    return logits[label] - math.log(sum(math.exp(x) for x in logits))


def test_default_loss_equals_torch_cross_entropy():
    assert torch.equal(loss()(LOGITS, TARGET), torch.nn.CrossEntropyLoss()(LOGITS, TARGET))
    assert loss().weights is None


def test_class_weights_match_hand_computed_loss():
    weights = [4 / 6, 4 / 2]
    expected = -sum(weights[label] * log_probability(row, label) for row, label in enumerate(TARGET.tolist())) / 4
    assert loss(class_weights=True)(LOGITS, TARGET).item() == pytest.approx(expected, rel=1e-6)
    # torch divides by the sum of the weights, so a clip's contribution would depend on the rest of its batch.
    theirs = F.cross_entropy(LOGITS, TARGET, weight=torch.tensor([*weights, 0.0]))
    assert theirs.item() != pytest.approx(expected, rel=1e-3)


def test_class_weights_balance_classes_with_mean_one():
    weights = loss(class_weights=True).weights
    assert weights.tolist() == pytest.approx([2 / 3, 2.0, 0.0])
    assert (weights * torch.tensor(COUNTS)).tolist() == pytest.approx([4, 4, 0])
    assert (weights * torch.tensor(COUNTS)).sum().item() / sum(COUNTS) == pytest.approx(1)


def test_clip_contribution_does_not_depend_on_batch():
    made = loss(class_weights=True)
    alone = [made(LOGITS[[row]], TARGET[[row]]).item() for row in range(4)]
    assert made(LOGITS, TARGET).item() == pytest.approx(sum(alone) / 4, rel=1e-6)


def test_label_smoothing_matches_hand_computed_loss():
    share = 0.3
    expected = -sum(
        (1 - share) * log_probability(row, label) + share / 3 * sum(log_probability(row, c) for c in range(3))
        for row, label in enumerate(TARGET.tolist())
    )
    assert loss(label_smoothing=share)(LOGITS, TARGET).item() == pytest.approx(expected / 4, rel=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", [True, False])
def test_one_hot_targets_equal_class_indices(class_weights, share):
    made = loss(class_weights=class_weights, label_smoothing=share)
    shares = F.one_hot(TARGET, 3).float()
    torch.testing.assert_close(made(LOGITS, shares), made(LOGITS, TARGET))


@pytest.mark.parametrize("class_weights", [True, False])
def test_mixed_targets_match_hand_computed_loss(class_weights):
    """The mixup loss is the weighted mean of the losses of both labels (Zhang et al. 2018)."""
    made, share, partner = loss(class_weights=class_weights), 0.3, torch.tensor([1, 0, 1, 1])
    shares = share * F.one_hot(TARGET, 3) + (1 - share) * F.one_hot(partner, 3)
    expected = share * made(LOGITS, TARGET) + (1 - share) * made(LOGITS, partner)
    torch.testing.assert_close(made(LOGITS, shares), expected)


def test_class_weights_are_not_in_the_state_dict():
    assert not loss(class_weights=True).state_dict()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_raises(share):
    with pytest.raises(InputError, match=r"loss\.label_smoothing is .*; expected at least 0 and less than 1"):
        EmotionLoss(class_weights=False, label_smoothing=share)
