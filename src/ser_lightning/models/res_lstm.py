"""Two LSTMs with a residual connection and soft attention over time: a small network for unseen speakers."""

from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.initialize import initialize_as_keras
from ser_lightning.models.layers import MaskedBatchNorm, Standardize, attention_pool, length_mask, standardized_frames


class ResLSTM(nn.Module):
    """Residual LSTM, BatchNorm, LSTM, attention over time, BatchNorm, dropout and a linear layer.

    All of it is published, including the initialization of the weights. With 46 features and 8 classes it has 27,988,
    46,772 or 108,916 parameters for ``hidden`` of 32, 64 or 128; without the first LSTM (``residual=False``), the
    paper's LSTM-SA, it has 29,384 for 64. One difference: BatchNorm after the residual uses real frames only, whereas
    the original includes the padding of shorter clips in training.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set; the original
            uses those of all clips, including the test set
        residual: start with an LSTM as wide as the input, whose output is added to the input and normalized
        hidden: units of the LSTM whose outputs are pooled by attention
        dropout: dropout probability of the pooled vector

    Raises:
        ValueError: a size below 1, a probability outside [0, 1)

    Source: Krasnoproshin & Vashkevich 2026, arXiv 2606.03359; Mak-Sim/ResLSTM-SER, train.ipynb.

    """

    def __init__(
        self, *, features: int, classes: int, standardize: bool, residual: bool, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        check_sizes({"hidden": hidden})
        check_probabilities({"dropout": dropout})
        self.standardize = Standardize(features=features) if standardize else None
        self.first = nn.LSTM(features, features, batch_first=True) if residual else None
        self.first_norm = MaskedBatchNorm(channels=features) if residual else None
        self.second = nn.LSTM(features, hidden, batch_first=True)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.classifier = nn.Sequential(nn.BatchNorm1d(hidden), nn.Dropout(dropout), nn.Linear(hidden, classes))
        initialize_as_keras(self.classifier)
        nn.init.xavier_normal_(self.score.weight)
        for lstm in [self.second] if self.first is None else [self.first, self.second]:
            _initialize(lstm)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F)
        mask = length_mask(lengths, x.size(1))
        # The LSTMs read forward and padding follows the real frames, so it does not affect their outputs.
        if self.first is not None and self.first_norm is not None:
            x = self.first_norm(self.first(x)[0] + x, mask)  # (B, T, F)
        y = self.second(x)[0]  # (B, T, H)
        clip = attention_pool(y, self.score(y)[:, :, 0], mask)  # (B, H)
        logits: Tensor = self.classifier(clip)  # (B, classes)
        return logits


def _initialize(lstm: nn.LSTM) -> None:
    """Initialize the weights as the original does, with forget gates that start open."""
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_normal_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
            nn.init.ones_(parameter.data[lstm.hidden_size : 2 * lstm.hidden_size])  # forget gate
