"""Layers that know how long each clip is; each hides one nuisance and keeps the layout (B, C, T)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def valid_length(length: int, kernel_size: int, stride: int) -> int:
    """Return how many outputs an unpadded convolution or pooling makes of ``length`` inputs.

    >>> valid_length(87, 5, 2)
    42
    """
    return (length - kernel_size) // stride + 1


def valid_lengths(lengths: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Return :func:`valid_length` of every length, (B,)."""
    return torch.div(lengths - kernel_size, stride, rounding_mode="floor") + 1


def mask(lengths: Tensor, total: int) -> Tensor:
    """Return (B, ``total``), True where a frame is real."""
    return torch.arange(total, device=lengths.device) < lengths[:, None]


def extend(x: Tensor, padding: Tensor, frames: int) -> Tensor:
    """Cut ``x`` (B, C, T) to ``frames``, or continue it with ``padding`` (1, C, 1)."""
    missing = frames - x.size(2)
    if missing <= 0:
        return x[:, :, :frames]
    return torch.cat([x, padding.expand(len(x), -1, missing)], dim=2)


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

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Standardise the real frames of ``x`` (B, F, T); padding stays zero."""
        x = (x - self.mean[:, None]) / self.deviation[:, None]
        return x.masked_fill(~mask(lengths, x.size(2))[:, None], 0.0)


class BiLSTM(nn.Module):
    """Bidirectional LSTM over time, convolutional layout in and out.

    Two one-way networks: the backward one reads each clip reversed within its own length, so that it starts at the last
    real frame and not in the padding. That equals a packed sequence and costs a gather, where packing leaves the fast
    kernels of the CPU.

    Args:
        channels: size of the feature axis of the input
        hidden: units per direction; the output has ``2 * hidden`` channels

    """

    def __init__(self, *, channels: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(channels, hidden, batch_first=True)
        self.back = nn.LSTM(channels, hidden, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, C, T) to (B, 2H, T); beyond ``lengths`` (B,) the output means nothing."""
        x = x.transpose(1, 2)  # (B, C, T) -> (B, T, C)
        time = torch.arange(x.size(1), device=x.device)
        # Its own inverse: real frames swap ends, padding stays where it is.
        turn = torch.where(mask(lengths, x.size(1)), lengths[:, None] - 1 - time, time)[:, :, None]  # (B, T, 1)
        ahead = self.ahead(x)[0]
        back = self.back(x.gather(1, turn.expand_as(x)))[0]
        y = torch.cat([ahead, back.gather(1, turn.expand_as(back))], dim=2)  # (B, T, 2H)
        return y.transpose(1, 2)

    def back_over(self, x: Tensor, padding: Tensor, total: int) -> list[Tensor]:
        """Run backward over clips that ``padding`` continues to ``total`` frames.

        Args:
            x: (B, C, T), what differs from clip to clip
            padding: (1, C, 1), what every later frame is
            total: at least T

        Returns:
            The outputs at ``x``, (B, T, H), and, if there are any, those at the padding, (1, total - T, H), which all
            clips share; both from the last frame to the first.

        """
        rest, state, shared = total - x.size(2), None, []
        if rest:
            y, last = self.back(padding.transpose(1, 2).expand(-1, rest, -1))
            shared, state = [y], tuple(s.expand(-1, len(x), -1).contiguous() for s in last)
        return [self.back(x.transpose(1, 2).flip(1), state)[0], *shared]


def max_and_mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Return the maximum and the mean over the real frames of ``x`` (B, C, T), joined: (B, 2C)."""
    real = mask(lengths, x.size(2))[:, None]  # (B, 1, T)
    top = x.masked_fill(~real, -torch.inf).amax(2)
    mean = x.masked_fill(~real, 0.0).sum(2) / lengths[:, None]
    return torch.cat([top, mean], dim=1)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
}
