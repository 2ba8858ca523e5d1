"""TIM-Net: dilated convolutions over a clip forwards and backwards, at every scale of time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.model.layers import (
    MaskedBatchNorm,
    Standardize,
    check_probabilities,
    check_sizes,
    frames_of,
    initialize_as_keras,
    real_frames,
    reverse,
)


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
        x, lengths = frames_of(features, lengths, standardize=self.standardize)  # (B, T, F)
        ahead, back = self.directions
        scales = ahead(x, lengths) + back(reverse(x, lengths), lengths)  # (B, dilations, C)
        logits: Tensor = self.classifier(self.scales @ scales)  # (B, C) -> (B, classes)
        return logits


class _Direction(nn.Module):
    """The blocks of one direction, and the mean over time of what each says."""

    def __init__(self, *, features: int, filters: int, kernel_size: int, dilations: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(features, filters)
        self.blocks = nn.ModuleList(
            _Block(channels=filters, kernel_size=kernel_size, dilation=2**n, dropout=dropout) for n in range(dilations)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the scales of each clip, (B, dilations, C), of frames (B, T, F)."""
        real = real_frames(lengths, x.size(1))  # (B, T)
        y = self.first(x).masked_fill(~real[:, :, None], 0.0)  # (B, T, C)
        means = []
        for block in self.blocks:
            y = block(y, real)
            means.append(y.sum(1) / lengths[:, None])  # (B, C)
        return torch.stack(means, dim=1)


class _Block(nn.Module):
    """Two causal convolutions, whose sigmoid says how much of its input goes on."""

    def __init__(self, *, channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, dilation=dilation) for _ in range(2)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(channels=channels) for _ in range(2))
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return (B, T, C), zero where nothing is real, as in the input."""
        y = x.transpose(1, 2)  # (B, C, T)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = convolution(F.pad(y, (self.reach, 0)))  # (B, C, T): each frame hears those before it
            y = norm(y.transpose(1, 2), real).transpose(1, 2)  # zero behind the end
            y = self.dropout(y.relu())
        return x * torch.sigmoid(y.transpose(1, 2))
