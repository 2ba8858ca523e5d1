"""Attentive statistics pooling of weighted layers: a small network on the frames of a pretrained encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.layers import AttentiveStatistics, Standardize, length_mask, standardized_frames


class EncoderHead(nn.Module):
    """Weighted sum of layers, projection, attentive statistics pooling and a linear layer.

    The weights of the layers are learned and sum to one. The pooled vector is the mean and the standard deviation of
    the projected frames, both weighted by attention over time. With 3 layers of 384 units and the sizes in conf/ it
    has 27,788 parameters.

    Args:
        features: number of input features, the units of all layers
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        layers: layers that the features consist of (``features.layers``); None if they are one block
        projection: units of the projection
        attention: units of the hidden layer that scores the frames
        dropout: dropout probability of the projected frames and of the pooled vector

    Raises:
        ValueError: a size below 1, a probability outside [0, 1), or features that are not layers of equal width

    Source: Okabe et al. 2018 (arXiv 1803.10963), attentive statistics pooling; Yang et al. 2021 (SUPERB, arXiv
    2105.01051), weighted layers

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        layers: Sequence[int] | None,
        projection: int,
        attention: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"projection": projection, "attention": attention})
        check_probabilities({"dropout": dropout})
        count = 1 if layers is None else len(layers)
        if not count or features % count:
            raise ValueError(
                f"model.layers is {layers}, into which {features} features cannot be divided; expected"
                " features.layers, as a list"
            )
        self.count = count
        self.standardize = Standardize(features=features) if standardize else None
        self.layer_scores = nn.Parameter(torch.zeros(count))
        self.project = nn.Sequential(nn.Linear(features // count, projection), nn.ReLU(), nn.Dropout(dropout))
        self.pool = AttentiveStatistics(channels=projection, attention=attention)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * projection, classes))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, K, F)
            lengths: (B,), number of frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F)
        mask = length_mask(lengths, x.size(1))
        frames = self.project(self._mix(x))  # (B, T, projection)
        logits: Tensor = self.classify(self.pool(frames, mask))
        return logits

    def _mix(self, x: Tensor) -> Tensor:
        """Return the weighted sum of the layers of frames (B, T, F): (B, T, width)."""
        return self.layer_scores.softmax(0) @ x.view(*x.shape[:2], self.count, -1)
