"""Several networks of one architecture, trained side by side, whose probabilities are averaged."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Mean of the probabilities of several networks (Lakshminarayanan et al. 2017, deep ensembles).

    The networks differ in their initial weights and in their dropout masks; they see the same batches. In training each
    has a loss of its own (:func:`members_of`).

    Args:
        build: builds one network, with new random weights at each call
        size: number of networks, at least 2

    """

    def __init__(self, build: Callable[[], nn.Module], *, size: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(build() for _ in range(size))
        self.standardize = getattr(self.members[0], "standardize", None)
        if self.standardize is not None:
            for member in self.members:
                member.standardize = self.standardize  # one for all, fitted to the training set once

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithm of the mean probabilities of a batch, (B, classes).

        Args:
            features: (B, K, F)
            lengths: (B,), number of frames of each clip

        """
        return mean_logits([member(features, lengths) for member in self.members])


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean probabilities of several networks; the logits of a single one as they are.

    Args:
        logits: (B, classes) of each network

    """
    if len(logits) == 1:
        return logits[0]
    return torch.stack(list(logits)).log_softmax(-1).logsumexp(0) - math.log(len(logits))


def members_of(model: nn.Module) -> Sequence[nn.Module]:
    """Return the networks of an ensemble; of any other model, the model itself."""
    return list(model.members) if isinstance(model, Ensemble) else [model]
