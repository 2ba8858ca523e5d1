"""Multilayer perceptron on the mean of the frames of each clip."""

from collections.abc import Sequence

from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.layers import Standardize, standardized_frames


class MLP(nn.Module):
    """Fully connected layers with ReLU and dropout on the mean of the frames, for features of one vector per clip.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        hidden: units of each hidden layer
        batch_norm: normalize the units of each hidden layer over the batch, before ReLU
        input_dropout: dropout probability of the standardized features
        dropout: dropout probability of the units of each hidden layer

    Raises:
        ValueError: a size below 1, a probability outside [0, 1)

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        hidden: Sequence[int],
        batch_norm: bool,
        input_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"hidden": hidden})
        check_probabilities({"input_dropout": input_dropout, "dropout": dropout})
        self.standardize = Standardize(features=features) if standardize else None
        sizes = [features, *hidden]
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        for size, units in zip(sizes, hidden, strict=False):
            norm = [nn.BatchNorm1d(units)] if batch_norm else []
            layers += [nn.Linear(size, units), *norm, nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], classes))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, K, F)
            lengths: (B,), number of frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F), 0 beyond the end
        logits: Tensor = self.layers(x.sum(1) / lengths[:, None])
        return logits
