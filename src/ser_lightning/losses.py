"""The training loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.errors import check_value


class EmotionLoss(nn.Module):
    """Cross-entropy with optional class weights and label smoothing.

    Args:
        class_weights: weight each clip inversely to the number of training clips of its class, with a mean weight of 1
            over the training clips. The loss is averaged over clips and not over their weights as in
            ``torch.nn.CrossEntropyLoss``, so that the contribution of a clip does not depend on the rest of its batch.
        label_smoothing: share of each label that is spread evenly over all classes (Szegedy et al. 2016)

    Raises:
        InputError: ``label_smoothing`` is outside [0, 1)

    """

    weights: Tensor | None

    def __init__(self, *, class_weights: bool, label_smoothing: float) -> None:
        super().__init__()
        valid = 0 <= label_smoothing < 1
        check_value("loss.label_smoothing", label_smoothing, valid=valid, expected="at least 0 and less than 1")
        self.class_weights, self.label_smoothing = class_weights, label_smoothing
        self.register_buffer("weights", None, persistent=False)  # recomputed from the training clips in every run

    def weigh(self, counts: Sequence[int]) -> None:
        """Compute the class weights from the number of training clips of each class; an empty class has weight 0.

        >>> loss = EmotionLoss(class_weights=True, label_smoothing=0.0)
        >>> loss.weigh([1, 3, 0])
        >>> loss.weights
        tensor([2.0000, 0.6667, 0.0000])
        """
        if self.class_weights:
            clips = torch.tensor(counts, dtype=torch.float64)
            fair = clips.sum() / (clips > 0).sum()  # number of clips per class if the classes were balanced
            self.weights = torch.where(clips > 0, fair / clips, 0.0).float()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            logits: (B, classes)
            target: (B,), class of each clip; or (B, classes), share of each class in a mixture

        """
        if self.weights is None:
            return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
        total = F.cross_entropy(
            logits, target, weight=self.weights, reduction="sum", label_smoothing=self.label_smoothing
        )
        return total / len(logits)


def describe_divergence(loss: float, *, epoch: int) -> str:
    """Return why a run ends when its loss is infinite or not a number."""
    return f"the loss became {loss} in epoch {epoch}; lower optim.lr"
