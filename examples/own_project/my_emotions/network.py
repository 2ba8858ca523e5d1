"""A small recurrent network."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from ser_lightning.models.layers import Standardize


class GRUClassifier(nn.Module):
    """GRU whose last state is classified by a linear layer.

    Args:
        features: number of input features F
        classes: number of classes
        standardize: first standardize each feature; training fits the layer ``standardize`` to the training set
        hidden: units of the GRU
        dropout: dropout probability of the last state

    """

    def __init__(self, *, features: int, classes: int, standardize: bool, hidden: int, dropout: float) -> None:
        super().__init__()
        self.standardize = Standardize(features=features) if standardize else None
        self.gru = nn.GRU(features, hidden, batch_first=True)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, classes))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of features (B, K, F), of which the first ``lengths`` (B,) frames are real."""
        if self.standardize is not None:
            features = self.standardize(features.clone())
        frames = pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(frames)
        logits: Tensor = self.classifier(torch.squeeze(last, 0))
        return logits
