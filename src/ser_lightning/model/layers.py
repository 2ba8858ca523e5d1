"""Layers that know how long each clip is; each hides one nuisance."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ser_lightning.model.rows import Rows

GROUPS = 4  # of like length in a batch: with more, the LSTM's steps are too small to be fast


def valid_length(length: int, kernel_size: int, stride: int) -> int:
    """Return how many outputs an unpadded convolution or pooling makes of ``length`` inputs.

    >>> valid_length(87, 5, 2)
    42
    """
    return (length - kernel_size) // stride + 1


def valid_lengths(lengths: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Return :func:`valid_length` of every length, (B,)."""
    return torch.div(lengths - kernel_size, stride, rounding_mode="floor") + 1


class Standardize(nn.Module):
    """Remove the mean of each feature and divide by its deviation, both of the training set.

    The statistics are buffers, so that a checkpoint carries them; until :meth:`fit` they change nothing.

    Args:
        features: size of the feature axis

    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Take over the statistics, (F,) each; a feature that never varies is only centred."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-8, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise frames (N, F) in place."""
        return x.sub_(self.mean).div_(self.deviation)


class BiLSTM(nn.Module):
    """Bidirectional LSTM, and the maximum and the mean over time of what it says.

    Two one-way networks: the backward one reads each clip reversed within its own length, so that it starts at the last
    real frame and not in the padding. That equals a packed sequence and costs a gather, where packing leaves the fast
    kernels of the CPU. Clips of like length go through together.

    Args:
        channels: size of the feature axis of the input
        hidden: units per direction

    """

    def __init__(self, *, channels: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(channels, hidden)
        self.back = nn.LSTM(channels, hidden)

    def forward(self, rows: Rows) -> Tensor:
        """Return maxima, then means, forward, then backward, of each clip: (B, 4H)."""
        groups, summaries = of_like_length(rows.lengths), []
        for group in groups:
            starts, lengths = rows.starts[group], rows.lengths[group]
            time = torch.arange(int(lengths.max()), device=lengths.device)[:, None]  # (T, 1)
            padding = (time >= lengths)[:, :, None]  # (T, B, 1)
            tops, means = [], []
            for lstm, step in ((self.ahead, time.minimum(lengths - 1)), (self.back, (lengths - 1 - time).clamp(min=0))):
                y = lstm(_gather(rows.values, starts + step))[0]  # (T, B, H)
                tops.append(y.masked_fill(padding, -torch.inf).amax(0))
                means.append(y.masked_fill(padding, 0.0).sum(0) / lengths[:, None])
            summaries.append(torch.cat([*tops, *means], dim=1))
        return torch.cat(summaries)[torch.cat(groups).argsort()]

    def over_padding(self, rows: Rows, *, padding: Tensor, total: int) -> Tensor:
        """Do as :meth:`forward` does for clips that padding continues to the same length, and hear the padding.

        Padding is the same in every clip, so that the first steps backward are taken once for all.

        Args:
            rows: the clips
            padding: (1, C), the row that padding makes
            total: steps of every clip

        """
        time = torch.arange(total, device=padding.device)[:, None]  # (T, 1)
        blank = padding[:, None]  # (1, 1, C)
        groups, inputs, tops, sums = of_like_length(rows.lengths), [], [], []
        for group in groups:
            lengths = rows.lengths[group]
            reach = int(lengths.max())
            x = _gather(rows.values, rows.starts[group] + time[:reach].minimum(lengths - 1))  # (T, B, C)
            x = torch.where((time[:reach] < lengths)[:, :, None], x, blank)
            inputs.append(torch.cat([x, blank.expand(total - reach, len(group), -1)]))
            parts, state = [], None
            if reach < total:
                y, last = self.back(blank.expand(total - reach, 1, -1))
                parts = [y.expand(-1, len(group), -1)]
                state = tuple(s.expand(-1, len(group), -1).contiguous() for s in last)
            parts.append(self.back(x.flip(0), state)[0])
            tops.append(torch.stack([y.amax(0) for y in parts]).amax(0))
            sums.append(torch.stack([y.sum(0) for y in parts]).sum(0))
        ahead = self.ahead(torch.cat(inputs, dim=1))[0]  # (T, B, H)
        parts = [ahead.amax(0), torch.cat(tops), ahead.mean(0), torch.cat(sums) / total]
        return torch.cat(parts, dim=1)[torch.cat(groups).argsort()]


def of_like_length(lengths: Tensor) -> list[Tensor]:
    """Return the clips of a batch in groups of like length, (B of the group,) each; of a small batch in one.

    >>> [group.tolist() for group in of_like_length(torch.tensor([3, 9, 2, 8, 1, 7, 4, 6]))]
    [[4, 2], [0, 6], [7, 5], [3, 1]]
    """
    order = lengths.argsort(stable=True)
    return list(order.chunk(GROUPS)) if len(order) >= 2 * GROUPS else [order]


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """Return the rows (R, C) of an index (T, B): (T, B, C)."""
    return rows.index_select(0, index.flatten()).view(*index.shape, -1)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
}
