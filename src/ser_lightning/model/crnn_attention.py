"""Convolutions on log-mel spectrograms and their derivatives, a bidirectional LSTM, attention over time."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ser_lightning.model.images import Images, channels_last, convolve, max_pool, normalize
from ser_lightning.model.layers import (
    MaskedBatchNorm,
    Standardize,
    attend,
    check_probabilities,
    check_sizes,
    frames_of,
    initialize_as_he,
    reverse,
)

SLOPE = 0.01  # of LeakyReLU below zero


class CRNNAttention(nn.Module):
    """Convolutional recurrent network with attention over time.

    Published of Mu et al.: a CNN over the spectrum, a bidirectional RNN, attention pooling; no sizes, no code.
    [reconstruction]: their nearest public relative with a full table, the 3-D ACRNN of Chen et al. 2018, in the form of
    its PyTorch port (BatchNorm after each convolution, which the TensorFlow code lacks). Chosen here: clips of any
    length, where the original cuts segments of 300 frames; the LSTM, BatchNorm and attention hear real frames alone.

    Args:
        features: rows of the input: ``planes`` images of equal height one above the other, log-mel, its first and its
            second derivative
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        planes: images in the input
        channels: output channels of each convolution; a max-pooling follows the first
        kernel_size: frames and rows each convolution sees, both odd; padded to keep the size
        pool_size: frames and rows the max-pooling sees, and its step
        linear: values of a step of the LSTM
        hidden: LSTM units per direction
        attention: units of the layer that scores the steps
        mlp: units of the dense layer before the last
        dropout: probability that a value of a step, or of this layer, is dropped in training

    Raises:
        ValueError: a size below 1, an even kernel, features that do not divide by ``planes`` or are fewer than the
            pooling needs, a probability outside [0, 1)

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
        rows, rest = divmod(features, planes)
        if rest:
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
        self.ahead = nn.LSTM(linear, hidden, batch_first=True)
        self.back = nn.LSTM(linear, hidden, batch_first=True)
        self.hear = nn.Linear(2 * hidden, attention)
        self.score = nn.Linear(attention, 1, bias=False)
        self.activation, self.dropout = nn.LeakyReLU(SLOPE), nn.Dropout(dropout)
        self.mlp, self.classifier = nn.Linear(2 * hidden, mlp), nn.Linear(mlp, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, F, K)
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = frames_of(features, lengths, standardize=self.standardize, at_least=self.pool[0])  # (B, T, F)
        planes = x.view(*x.shape[:2], self.planes, -1).transpose(1, 2)  # (B, planes, T, rows)
        images = normalize(Images(planes, lengths), cast(MaskedBatchNorm, self.norms[0]))
        for number, layer in enumerate(self.convolutions):
            images = convolve(images, cast(nn.Conv2d, layer))  # (B, C, T, rows)
            images = Images(self.activation(images.values), images.lengths)
            images = normalize(images, cast(MaskedBatchNorm, self.norms[number + 1]))
            if number == 0:
                images = max_pool(images, size=self.pool, stride=self.pool)  # (B, C, T / 2, rows / 4)
        lengths, real = images.lengths, images.real
        steps = self.step(images.values.permute(0, 2, 3, 1).flatten(2))  # (B, T', rows' * C) -> (B, T', linear)
        steps = self.dropout(self.activation(self.step_norm(steps, real)))
        # The backward direction starts at the last real step; forward, padding comes after all that is real.
        back = reverse(self.back(reverse(steps, lengths))[0], lengths)
        y = torch.cat([self.ahead(steps)[0], back], dim=2)  # (B, T', 2H)
        scores = self.score(torch.sigmoid(self.hear(y)))[:, :, 0]  # (B, T')
        clip = attend(y, scores, real)  # (B, 2H)
        logits: Tensor = self.classifier(self.dropout(self.activation(self.mlp(clip))))  # (B, classes)
        return logits
