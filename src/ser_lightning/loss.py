"""What training minimises."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.errors import InputError


class EmotionLoss(nn.Module):
    """Cross-entropy, its classes weighted and its labels smoothed if asked for.

    Args:
        class_weights: weigh a clip inversely to how many training clips its class has; on average over these the weight
            is 1. The mean goes over the clips of a batch, not over their weights as in ``torch.nn.CrossEntropyLoss``:
            what a clip contributes does not depend on whom it shares a batch with
        label_smoothing: share of each label that is spread over all classes alike (Szegedy et al. 2016)

    Raises:
        InputError: a share outside [0, 1)

    """

    weights: Tensor | None

    def __init__(self, *, class_weights: bool, label_smoothing: float) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(f"loss.label_smoothing is {label_smoothing}; expected at least 0 and less than 1")
        self.class_weights, self.label_smoothing = class_weights, label_smoothing
        self.register_buffer("weights", None, persistent=False)  # of the training clips, and so known to every run

    def weigh(self, counts: Sequence[int]) -> None:
        """Take over how many training clips each class has; one that has none weighs nothing.

        >>> loss = EmotionLoss(class_weights=True, label_smoothing=0.0)
        >>> loss.weigh([1, 3, 0])
        >>> loss.weights
        tensor([2.0000, 0.6667, 0.0000])
        """
        if self.class_weights:
            clips = torch.tensor(counts, dtype=torch.float64)
            fair = clips.sum() / (clips > 0).sum()  # clips of each class if all had as many
            self.weights = torch.where(clips > 0, fair / clips, 0.0).float()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            logits: (B, classes)
            target: (B,), class of each clip; or (B, classes), how much of each clip is of each class

        """
        if self.weights is None:
            return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
        total = F.cross_entropy(
            logits, target, weight=self.weights, reduction="sum", label_smoothing=self.label_smoothing
        )
        return total / len(logits)
