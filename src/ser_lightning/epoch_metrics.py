"""Loss and metrics of an epoch, accumulated over its batches."""

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from ser_lightning.metrics import compute_metrics


class EpochMetrics(nn.Module):
    """Loss and metrics of a subset over an epoch, synchronized over all processes.

    Args:
        classes: number of classes

    """

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.confusion = MulticlassConfusionMatrix(classes, validate_args=False)
        self.loss = MeanMetric()

    def update(self, logits: Tensor, target: Tensor, loss: Tensor) -> None:
        """Add a batch: logits (B, classes), target (B,), and the mean loss of the batch."""
        self.confusion.update(logits, target)
        self.loss.update(loss.float(), len(target))

    def compute(self) -> dict[str, float]:
        """Compute the mean loss and all metrics of :data:`ser_lightning.metrics.METRICS`."""
        return {
            "loss": float(self.loss.compute()),
            **compute_metrics(self.confusion.compute().cpu().numpy()),
        }

    def compute_and_reset(self, subset: str) -> dict[str, float]:
        """Return the values of an epoch by the names under which they are logged, as ``val/uar``."""
        values = {f"{subset}/{name}": value for name, value in self.compute().items()}
        self.reset()
        return values

    def reset(self) -> None:
        """Reset the accumulated batches."""
        self.confusion.reset()
        self.loss.reset()


def epoch_values(subset: str, confusion: npt.NDArray[np.int64], loss: float) -> dict[str, float]:
    """Return the values of an epoch by the names under which they are logged, as ``val/uar``.

    Args:
        subset: train, val or test
        confusion: (classes, classes) counts, true classes in rows
        loss: mean loss

    """
    return {f"{subset}/{name}": value for name, value in {"loss": loss, **compute_metrics(confusion)}.items()}
