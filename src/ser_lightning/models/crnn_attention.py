"""Convolutions on log-mel spectrograms and their deltas, a bidirectional LSTM and attention over time."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.initialize import initialize_as_he
from ser_lightning.models.layers import MaskedBatchNorm, Standardize, attention_pool, reverse_clips, standardized_frames
from ser_lightning.models.masked_images import Images, channels_last, convolve, max_pool, normalize

SLOPE = 0.01  # negative slope of LeakyReLU


class CRNNAttention(nn.Module):
    """Convolutional recurrent network with attention over time.

    Mu et al. published the architecture (a CNN over the spectrum, a bidirectional RNN, attention pooling) but neither
    sizes nor code. This is a [reconstruction]: the closest public model with complete sizes, the 3-D ACRNN of Chen et
    al. 2018, in the form of its PyTorch port, which has BatchNorm after each convolution, unlike the TensorFlow code.
    Choices of this implementation: clips of any length, where the original cuts segments of 300 frames; the LSTM,
    BatchNorm and attention use real frames only.

    Args:
        features: number of input features: ``planes`` images of equal height, stacked: log-mel, its first and its
            second derivative
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        planes: number of images in the input
        channels: output channels of each convolution; max-pooling follows the first
        kernel_size: kernel of each convolution in frames and features, both odd; the input is padded to keep its size
        pool_size: window and stride of the max-pooling, in frames and features
        linear: size of each step of the LSTM's input
        hidden: LSTM units per direction
        attention: hidden units of the layer that scores the steps
        mlp: units of the dense layer before the last
        dropout: dropout probability of the LSTM's input and of the dense layer

    Raises:
        ValueError: a size below 1, an even kernel size, a number of features that is not divisible by ``planes`` or too
            small for the pooling, a probability outside [0, 1)

    Source: Mu et al. 2017, dpi-journals.com dtcse 17273, the study's reference [10]; Chen et al. 2018, IEEE Signal
    Processing Letters 25(10), xuanjihe/speech-emotion-recognition, acrnn1.py; speech_utils.ACRNN.torch.

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        planes: int,
        channels: Sequence[int],
        kernel_size: Sequence[int],
        pool_size: Sequence[int],
        linear: int,
        hidden: int,
        attention: int,
        mlp: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"planes": planes, "channels": channels, "kernel_size": kernel_size, "pool_size": pool_size})
        check_sizes({"linear": linear, "hidden": hidden, "attention": attention, "mlp": mlp})
        check_probabilities({"dropout": dropout})
        rows, remainder = divmod(features, planes)
        if remainder:
            raise ValueError(f"there are {features} features, which model.planes = {planes} does not divide")
        if len(kernel_size) != 2 or len(pool_size) != 2 or not all(k % 2 for k in kernel_size):
            raise ValueError(
                f"model.kernel_size is {list(kernel_size)} and pool_size {list(pool_size)}; expected frames and rows in"
                " each, odd numbers in the first"
            )
        if rows < pool_size[1]:
            raise ValueError(f"there are {rows} rows in an image; expected at least pool_size[1] = {pool_size[1]}")
        self.planes, self.pool = planes, (pool_size[0], pool_size[1])
        self.standardize = Standardize(features=features) if standardize else None
        kernel = (kernel_size[0], kernel_size[1])
        around = (kernel[0] // 2, kernel[1] // 2)
        inputs = [planes, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel, padding=around) for i, o in zip(inputs, channels, strict=False)
        )
        initialize_as_he(channels_last(self.convolutions))
        self.norms = nn.ModuleList(MaskedBatchNorm(channels=c) for c in inputs)
        self.step = nn.Linear(channels[-1] * (rows // pool_size[1]), linear)
        self.step_norm = MaskedBatchNorm(channels=linear)
        self.forward_lstm = nn.LSTM(linear, hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(linear, hidden, batch_first=True)
        self.attention_projection = nn.Linear(2 * hidden, attention)
        self.score = nn.Linear(attention, 1, bias=False)
        self.activation, self.dropout = nn.LeakyReLU(SLOPE), nn.Dropout(dropout)
        self.mlp, self.classifier = nn.Linear(2 * hidden, mlp), nn.Linear(mlp, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        x, lengths = standardized_frames(
            features, lengths, standardize=self.standardize, min_length=self.pool[0]
        )  # (B, T, F)
        planes = x.view(*x.shape[:2], self.planes, -1).transpose(1, 2)  # (B, planes, T, rows)
        images = normalize(Images(planes, lengths), cast(MaskedBatchNorm, self.norms[0]))
        for number, layer in enumerate(self.convolutions):
            images = convolve(images, cast(nn.Conv2d, layer))  # (B, C, T, rows)
            images = Images(self.activation(images.values), images.lengths)
            images = normalize(images, cast(MaskedBatchNorm, self.norms[number + 1]))
            if number == 0:
                images = max_pool(images, size=self.pool, stride=self.pool)  # (B, C, T / 2, rows / 4)
        lengths, mask = images.lengths, images.mask
        steps = self.step(images.values.permute(0, 2, 3, 1).flatten(2))  # (B, T', rows' * C) -> (B, T', linear)
        steps = self.dropout(self.activation(self.step_norm(steps, mask)))
        # Each clip is reversed within its own length, so that padding follows the real steps in both directions.
        backward = reverse_clips(self.backward_lstm(reverse_clips(steps, lengths))[0], lengths)
        y = torch.cat([self.forward_lstm(steps)[0], backward], dim=2)  # (B, T', 2H)
        scores = self.score(torch.sigmoid(self.attention_projection(y)))[:, :, 0]  # (B, T')
        clip = attention_pool(y, scores, mask)  # (B, 2H)
        logits: Tensor = self.classifier(self.dropout(self.activation(self.mlp(clip))))  # (B, classes)
        return logits
