"""Residual convolutional network with squeeze-and-excitation and attentive statistics pooling, on spectrograms."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.initialize import initialize_as_he
from ser_lightning.models.layers import (
    AttentiveStatistics,
    MaskedBatchNorm,
    Standardize,
    length_mask,
    standardized_frames,
)


class SEResNet(nn.Module):
    """Convolutional stem, residual stages with squeeze-and-excitation, attentive statistics pooling, linear layer.

    The input has two channels: the spectrogram standardized over the training set, and the same without the mean of
    each band over the clip, which removes the channel and much of the speaker.

    Args:
        features: number of input features, the bands of a spectrogram
        classes: number of classes
        standardize: first standardize each band by the mean and standard deviation of the training set
        channels: channels of each stage; the stem and every stage but the first halve time and frequency
        blocks: residual blocks of a stage
        reduction: factor by which the hidden layer of squeeze-and-excitation has fewer units than channels
        attention: units of the hidden layer that scores the frames
        dropout: dropout probability of the pooled vector

    Raises:
        ValueError: a size below 1, a probability outside [0, 1)

    Source: He et al. 2016 (arXiv 1512.03385), residual blocks; Hu et al. 2018 (arXiv 1709.01507),
    squeeze-and-excitation; Okabe et al. 2018 (arXiv 1803.10963), attentive statistics pooling

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        channels: Sequence[int],
        blocks: int,
        reduction: int,
        attention: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"channels": channels, "blocks": blocks, "reduction": reduction, "attention": attention})
        check_probabilities({"dropout": dropout})
        self.standardize = Standardize(features=features) if standardize else None
        self.stem = _MaskedConvolution(2, channels[0], kernel_size=5, stride=2)
        widths = [channels[0], *channels]
        self.blocks = nn.ModuleList(
            _Block(
                inputs if first else outputs,
                outputs,
                stride=2 if first and stage > 0 else 1,
                reduction=reduction,
            )
            for stage, (inputs, outputs) in enumerate(zip(widths, channels, strict=False))
            for first in (True, *[False] * (blocks - 1))
        )
        self.pool = AttentiveStatistics(channels=channels[-1], attention=attention)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels[-1], classes))
        initialize_as_he(self)

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
        centered = (x - (x.sum(1) / lengths[:, None])[:, None]) * mask[:, :, None]
        y, lengths = self.stem(torch.stack([x, centered], dim=3), lengths)  # (B, T', F', C)
        y = y.relu()
        for block in self.blocks:
            y, lengths = block(y, lengths)
        frames = y.mean(2)  # (B, T', C)
        logits: Tensor = self.classify(self.pool(frames, length_mask(lengths, frames.size(1))))
        return logits


class _MaskedConvolution(nn.Module):
    """Convolution of clips (B, T, F, C) and BatchNorm over real frames; the output is zero beyond each clip."""

    def __init__(self, inputs: int, outputs: int, *, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
        self.norm = MaskedBatchNorm(channels=outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output (B, T', F', C') and the lengths of the clips in it."""
        y = self.convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        lengths = torch.div(lengths + self.stride - 1, self.stride, rounding_mode="floor")
        return self.norm(y, length_mask(lengths, y.size(1))), lengths


class _Block(nn.Module):
    """Two convolutions with squeeze-and-excitation and a residual connection."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, reduction: int) -> None:
        super().__init__()
        self.first = _MaskedConvolution(inputs, outputs, kernel_size=3, stride=stride)
        self.second = _MaskedConvolution(outputs, outputs, kernel_size=3, stride=1)
        hidden = max(1, outputs // reduction)
        self.excite = nn.Sequential(nn.Linear(outputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs), nn.Sigmoid())
        changes = stride > 1 or inputs != outputs
        self.shortcut = _MaskedConvolution(inputs, outputs, kernel_size=1, stride=stride) if changes else None

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output (B, T', F', C') and the lengths of the clips in it."""
        shortcut = x if self.shortcut is None else self.shortcut(x, lengths)[0]
        y, lengths = self.first(x, lengths)
        y, lengths = self.second(y.relu(), lengths)
        squeezed = y.sum((1, 2)) / (lengths * y.size(2))[:, None]  # (B, C), the mean over real frames
        return (y * self.excite(squeezed)[:, None, None] + shortcut).relu(), lengths
