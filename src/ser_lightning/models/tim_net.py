"""TIM-Net: dilated convolutions over a clip in both directions, at several time scales."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.exporting import is_exporting
from ser_lightning.models.flat_batch import clip_of_row, flatten_batch
from ser_lightning.models.initialize import initialize_as_keras
from ser_lightning.models.layers import Standardize

WIDTH = 8  # rows are zero-padded to a multiple of this width; without padding, an epoch takes a third longer


class TIMNet(nn.Module):
    """Temporal-aware bi-direction multi-scale network.

    A chain of blocks with dilations 1, 2, 4 ... reads the clip, and a second chain reads the reversed clip. After each
    block, the outputs of both chains are added and averaged over time, which represents the clip at one scale. The
    clip's representation is the weighted sum of its scales.

    All of it is published. With 39 features, 39 filters, 8 dilations and 8 classes it has 104,536 parameters, the 0.40
    MB of the paper. Differences: a clip keeps its own length, where the original is cut or padded with silence to a
    fixed length; the mean over time and BatchNorm use real frames only; momentum and epsilon of BatchNorm are the
    defaults of torch.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set; the original
            does not
        filters: channels of every convolution
        kernel_size: frames per kernel, which are ``dilation`` apart
        dilations: number of blocks per direction
        dropout: probability that a whole channel of a clip is dropped after each convolution

    Raises:
        ValueError: a size below 1, a probability outside [0, 1)

    Source: Ye et al. 2023, ICASSP, arXiv 2211.08233; Jiaxin-Ye/TIM-Net_SER, TIMNET.py and Model.py.

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        filters: int,
        kernel_size: int,
        dilations: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"filters": filters, "kernel_size": kernel_size, "dilations": dilations})
        check_probabilities({"dropout": dropout})
        self.standardize = Standardize(features=features) if standardize else None
        self.directions = nn.ModuleList(
            _Direction(
                features=features, filters=filters, kernel_size=kernel_size, dilations=dilations, dropout=dropout
            )
            for _ in ("forward", "backward")
        )
        self.scales = nn.Parameter(torch.empty(dilations).uniform_(-0.05, 0.05))
        self.classifier = nn.Linear(filters, classes)
        initialize_as_keras(self)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        prepare = nn.Identity() if self.standardize is None else self.standardize
        values, starts, lengths = flatten_batch(features, lengths, rows=lengths, multiple=1, prepare=prepare)  # (R, F)
        clip = clip_of_row(lengths)  # (R,), clip of each row
        time = torch.arange(clip.size(0), device=clip.device) - starts[clip]  # (R,)
        reversed_ = values[(starts + lengths - 1)[clip] - time]  # each clip within its own length
        forward, backward = self.directions
        clips = len(lengths)
        # (B, dilations, C), sums over time
        scales = forward(values, clip, time, clips) + backward(reversed_, clip, time, clips)
        mean = self.scales @ scales / lengths[:, None]  # (B, C)
        logits: Tensor = self.classifier(mean)  # (B, classes)
        return logits


class _Direction(nn.Module):
    """Blocks of one direction, and the sum over time of the output of each.

    Its rows are the frames of all clips, concatenated, so that BatchNorm uses real frames only.
    """

    def __init__(self, *, features: int, filters: int, kernel_size: int, dilations: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(features, filters)
        self.blocks = nn.ModuleList(
            _Block(channels=filters, kernel_size=kernel_size, dilation=2**n, dropout=dropout) for n in range(dilations)
        )

    def forward(self, rows: Tensor, clip: Tensor, time: Tensor, clips: int) -> Tensor:
        """Return the outputs of each block summed over time, (B, dilations, C).

        Args:
            rows: (R, F), frames of all clips
            clip: (R,), clip of each row
            time: (R,), frame of each row in its clip
            clips: number of clips B

        """
        channels = self.first.out_features
        y = F.pad(self.first(rows), (0, -channels % WIDTH))  # (R, W)
        sums = []
        for block in self.blocks:
            y = block(y, clip, time, clips)
            added = y.sum(0, keepdim=True) if is_exporting() else y.new_zeros(clips, y.size(1)).index_add(0, clip, y)
            sums.append(added)  # (B, W)
        return torch.stack(sums, dim=1)[..., :channels]


class _Block(nn.Module):
    """Two causal convolutions whose sigmoid gates the input of the block."""

    def __init__(self, *, channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.channels = channels
        self.dilation = dilation
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, kernel_size) for _ in range(2))
        self.norms = nn.ModuleList(_WideBatchNorm(channels) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, clip: Tensor, time: Tensor, clips: int) -> Tensor:
        """Return the gated input: (R, W) -> (R, W)."""
        y = x
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            convolution = cast(nn.Conv1d, layer)
            y = norm(_causal(y, convolution.weight, cast(Tensor, convolution.bias), time, self.dilation)).relu()
            if self.training:  # dropout of whole channels of a clip
                mask = self.dropout(y.new_ones(clips, self.channels))
                y = y * F.pad(mask, (0, y.size(1) - self.channels))[clip]
        return x * torch.sigmoid(y)


class _WideBatchNorm(nn.BatchNorm1d):
    """BatchNorm of the first ``num_features`` channels of rows; the padding channels after them stay zero."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize rows: (R, W) -> (R, W)."""
        mean, variance, weight, bias = (
            F.pad(cast(Tensor, values), (0, x.size(1) - self.num_features))
            for values in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        y = F.batch_norm(x, mean, variance, weight, bias, self.training, cast(float, self.momentum), self.eps)
        if self.training:
            cast(Tensor, self.running_mean).copy_(mean[: self.num_features])
            cast(Tensor, self.running_var).copy_(variance[: self.num_features])
            cast(Tensor, self.num_batches_tracked).add_(1)
        return y


def _causal(x: Tensor, weight: Tensor, bias: Tensor, time: Tensor, dilation: int) -> Tensor:
    """Apply a causal dilated convolution to concatenated clips, with zeros before the start of each clip.

    It is computed as a matrix product, which is faster than torch's convolution with so few channels.

    Args:
        x: (R, W), channels, zero-padded
        weight: (C, C, kernel size)
        bias: (C,)
        time: (R,), frame of each row in its clip
        dilation: frames between neighboring taps of the kernel

    Returns:
        (R, W), channels, zero-padded

    """
    if is_exporting():
        before = (weight.size(2) - 1) * dilation
        y = F.conv1d(F.pad(x[:, : len(bias)].t(), (before, 0))[None], weight, bias, dilation=dilation)[0].t()
        return F.pad(y, (0, x.size(1) - len(bias)))
    spare = x.size(1) - len(bias)
    weight, bias = F.pad(weight, (0, 0, 0, spare, 0, spare)), F.pad(bias, (0, spare))
    taps = []
    for n in reversed(range(weight.size(2))):
        before = min(n * dilation, len(x))
        taps.append(F.pad(x, (0, 0, before, -before)) * (time >= n * dilation)[:, None] if n else x)
    return F.linear(torch.cat(taps, dim=1), weight.permute(0, 2, 1).flatten(1), bias)
