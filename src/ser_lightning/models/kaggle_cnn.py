"""CNN of the Kaggle notebooks: convolutions along the feature axis, on the mean over time of a clip."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.initialize import initialize_as_keras
from ser_lightning.models.layers import Standardize, standardized_frames


class KaggleCNN(nn.Module):
    """Mean over time, then convolutions and max-poolings along the feature axis, then two dense layers.

    All layers and sizes are those of public copies of the notebooks; with 162 features and 8 classes the network has
    557,288 parameters. Choices of this implementation: the network computes the mean over time itself, so that it
    accepts features of any length (``features=kaggle`` gives one frame, which equals its mean); weights are initialized
    as in Keras.

    Args:
        features: number of input features, at least 1
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set (the
            StandardScaler of the notebooks)
        channels: output channels of each convolution
        kernel_size: kernel of each convolution, in features; the input is padded to keep its length
        pool_size: window of each max-pooling, in features
        pool_stride: stride of each max-pooling; the output length is the input length divided by it, rounded up
        conv_dropout: dropout probability before the last convolution
        hidden: units of the dense layer before the last
        dropout: dropout probability of the units of this layer

    Raises:
        ValueError: a size below 1, a probability outside [0, 1)

    Source: kaggle.com/code/shivamburnwal/speech-emotion-recognition and aditya1220/speech-emotion-recognition, the
    study's reference [14].

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        channels: Sequence[int],
        kernel_size: int,
        pool_size: int,
        pool_stride: int,
        conv_dropout: float,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"channels": channels, "kernel_size": kernel_size, "pool_size": pool_size})
        check_sizes({"pool_stride": pool_stride, "hidden": hidden})
        check_probabilities({"conv_dropout": conv_dropout, "dropout": dropout})
        self.standardize = Standardize(features=features) if standardize else None
        layers: list[nn.Module] = []
        length, inputs = features, 1
        for number, outputs in enumerate(channels):
            if number == len(channels) - 1:
                layers.append(nn.Dropout(conv_dropout))
            layers += [nn.Conv1d(inputs, outputs, kernel_size, padding="same"), nn.ReLU()]
            pooled = -(-length // pool_stride)
            missing = max(0, (pooled - 1) * pool_stride + pool_size - length)
            layers.append(nn.ConstantPad1d((missing // 2, missing - missing // 2), -torch.inf))
            layers.append(nn.MaxPool1d(pool_size, pool_stride))
            length, inputs = pooled, outputs
        self.convolutions = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs * length, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )
        initialize_as_keras(self)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F)
        mean = x.sum(1) / lengths[:, None]  # (B, F)
        y = self.convolutions(mean[:, None])  # (B, 1, F) -> (B, C, F / strides)
        logits: Tensor = self.classifier(y)  # (B, classes)
        return logits
