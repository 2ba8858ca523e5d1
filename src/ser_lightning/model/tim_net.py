"""TIM-Net: dilated convolutions over a clip forwards and backwards, at every scale of time."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.model.layers import Standardize, check_probabilities, check_sizes, initialize_as_keras
from ser_lightning.model.rows import lay

WIDTH = 8  # a row lies in memory as wide as a multiple of it, zeros at its end: without, an epoch takes a third longer


class TIMNet(nn.Module):
    """Temporal-aware bi-direction multi-scale network.

    A chain of blocks with dilations 1, 2, 4 ... reads the clip, and another one the reversed clip. What both say after
    a block, averaged over time, is the clip at that scale; the clip is the weighted sum of its scales.

    Published: all of it. With 39 features, 39 filters, 8 dilations and 8 classes it has 104,536 parameters, the 0.40 MB
    of the paper. Otherwise here: a clip has its own length, where the original is cut or filled with silence to one;
    mean over time and BatchNorm take real frames alone; BatchNorm's momentum and epsilon are torch's.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first; the original does not
        filters: channels of every convolution
        kernel_size: frames a convolution sees, ``dilation`` apart
        dilations: blocks of each direction
        dropout: probability that a channel of a clip is dropped in training after each convolution

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
            for _ in ("ahead", "back")
        )
        self.scales = nn.Parameter(torch.empty(dilations).uniform_(-0.05, 0.05))
        self.classifier = nn.Linear(filters, classes)
        initialize_as_keras(self)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, F, K)
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        prepare = nn.Identity() if self.standardize is None else self.standardize
        values, starts, lengths = lay(features, lengths, rows=lengths, multiple=1, prepare=prepare)  # (R, F)
        clip = torch.repeat_interleave(lengths)  # (R,), of each row
        time = torch.arange(len(clip), device=clip.device) - starts[clip]  # (R,)
        reversed_ = values[(starts + lengths - 1)[clip] - time]  # each clip within its own length
        ahead, back = self.directions
        clips = len(lengths)
        # (B, dilations, C), sums over time
        scales = ahead(values, clip, time, clips) + back(reversed_, clip, time, clips)
        mean = self.scales @ scales / lengths[:, None]  # (B, C)
        logits: Tensor = self.classifier(mean)  # (B, classes)
        return logits


class _Direction(nn.Module):
    """The blocks of one direction, and the sum over time of what each says.

    Its rows are the frames of all clips, one clip after another, so that BatchNorm sees real frames alone.
    """

    def __init__(self, *, features: int, filters: int, kernel_size: int, dilations: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(features, filters)
        self.blocks = nn.ModuleList(
            _Block(channels=filters, kernel_size=kernel_size, dilation=2**n, dropout=dropout) for n in range(dilations)
        )

    def forward(self, rows: Tensor, clip: Tensor, time: Tensor, clips: int) -> Tensor:
        """Return the scales of each of B clips, (B, dilations, C), of rows (R, F), their clip and frame, (R,) each."""
        channels = self.first.out_features
        y = F.pad(self.first(rows), (0, -channels % WIDTH))  # (R, W)
        sums = []
        for block in self.blocks:
            y = block(y, clip, time, clips)
            sums.append(y.new_zeros(clips, y.size(1)).index_add(0, clip, y))  # (B, W)
        return torch.stack(sums, dim=1)[..., :channels]


class _Block(nn.Module):
    """Two causal convolutions, whose sigmoid says how much of its input goes on."""

    def __init__(self, *, channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.channels = channels
        self.dilation = dilation
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, kernel_size) for _ in range(2))
        self.norms = nn.ModuleList(_WideBatchNorm(channels) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, clip: Tensor, time: Tensor, clips: int) -> Tensor:
        """Return (R, W) of (R, W)."""
        y = x
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            convolution = cast(nn.Conv1d, layer)
            y = norm(_causal(y, convolution.weight, cast(Tensor, convolution.bias), time, self.dilation)).relu()
            if self.training:  # whole channels of a clip
                kept = self.dropout(y.new_ones(clips, self.channels))
                y = y * F.pad(kept, (0, y.size(1) - self.channels))[clip]
        return x * torch.sigmoid(y)


class _WideBatchNorm(nn.BatchNorm1d):
    """BatchNorm of the first channels of rows; those past them are zeros and stay zeros."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (R, W) of (R, W)."""
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
    """Convolve frames ``dilation`` apart with the last of them in place; before a clip lie zeros.

    As a matrix product: with so few channels that is faster than torch's convolution.

    Args:
        x: (R, W), channels and zeros
        weight: (C, C, kernel size)
        bias: (C,)
        time: (R,), frame of each row in its clip
        dilation: frames from one of the kernel to the next

    Returns:
        (R, W), channels and zeros

    """
    spare = x.size(1) - len(bias)
    weight, bias = F.pad(weight, (0, 0, 0, spare, 0, spare)), F.pad(bias, (0, spare))
    taps = []
    for n in reversed(range(weight.size(2))):
        before = min(n * dilation, len(x))
        taps.append(F.pad(x, (0, 0, before, -before)) * (time >= n * dilation)[:, None] if n else x)
    return F.linear(torch.cat(taps, dim=1), weight.permute(0, 2, 1).flatten(1), bias)
