"""Layers and functions that take the length of each clip into account."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ser_lightning.models.exporting import as_size, is_exporting


def valid_length(length: int, kernel_size: int, stride: int) -> int:
    """Return the output length of an unpadded convolution or pooling with ``length`` inputs.

    >>> valid_length(87, 5, 2)
    42
    """
    return (length - kernel_size) // stride + 1


def valid_lengths(lengths: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Return :func:`valid_length` of each length, (B,)."""
    return torch.div(lengths - kernel_size, stride, rounding_mode="floor") + 1


class Standardize(nn.Module):
    """Subtract the mean of each feature and divide by its standard deviation, both computed on the training set.

    The statistics are buffers, so that a checkpoint contains them. Before :meth:`fit`, the layer is the identity.

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
        """Set the statistics, (F,) each; a constant feature is only centered."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-8, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Standardize frames (..., F) in place."""
        return x.sub_(self.mean).div_(self.deviation)


def standardized_frames(
    features: Tensor, lengths: Tensor, *, standardize: Standardize | None, min_length: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the frames of a padded batch, standardized, and zero beyond the end of each clip.

    Args:
        features: (B, K, F), not modified
        lengths: (B,), number of real frames of each clip
        standardize: layer applied to the frames first, or None
        min_length: minimum number of frames; shorter clips are zero-padded and count as this long

    Returns:
        The frames (B, T, F), with T the length of the longest clip, and the lengths (B,), both at least ``min_length``.

    """
    if is_exporting():
        return _frames_of_one_clip(features, lengths, standardize=standardize, min_length=min_length)
    # A compiled network knows sizes only: it computes the padding, too.
    longest = features.size(1) if torch.compiler.is_compiling() else int(lengths.max())
    total = max(longest, min_length)
    x = features.new_empty(features.size(0), total, features.size(2))  # (B, T, F)
    x[:, :longest] = features[:, :longest]
    if standardize is not None:
        standardize(x[:, :longest])  # in place, on this copy
    x.masked_fill_(~length_mask(lengths, total)[:, :, None], 0.0)
    return x, lengths.clamp(min=min_length)


def _frames_of_one_clip(
    features: Tensor, lengths: Tensor, *, standardize: Standardize | None, min_length: int
) -> tuple[Tensor, Tensor]:
    """Return the same as :func:`standardized_frames` for a single clip without padding, (1, K, F)."""
    x = features if standardize is None else standardize(features.clone())
    total = lengths.clamp(min=min_length)
    blank = x.new_zeros(1, 1, x.size(2)).expand(-1, as_size(total[0] - lengths[0]), -1)
    return torch.cat([x, blank], dim=1), total


def length_mask(lengths: Tensor, total: int) -> Tensor:
    """Return the mask of the real frames among ``total`` frames, (B, total).

    >>> length_mask(torch.tensor([2, 3]), 3).tolist()
    [[True, True, False], [True, True, True]]
    """
    return torch.arange(total, device=lengths.device) < lengths[:, None]


def reverse_clips(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each clip of (B, T, C) within its own length; the padding stays in place.

    >>> reverse_clips(torch.tensor([[[1], [2], [0]]]), torch.tensor([2])).flatten().tolist()
    [2, 1, 0]
    """
    time = torch.arange(x.size(1), device=x.device)
    index = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (B, T)
    return x.gather(1, index[:, :, None].expand_as(x))


def attention_pool(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the real values of each clip, weighted by the softmax of their scores.

    Args:
        values: (B, N, C), finite everywhere
        scores: (B, N)
        mask: (B, N), True for real values

    Returns:
        (B, C)

    """
    weights = scores.masked_fill(~mask, -torch.inf).softmax(1)
    return (weights[:, None] @ values)[:, 0]


SMALLEST_VARIANCE = 1e-6  # keeps the gradient of a standard deviation finite


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation of the frames of a clip, both weighted by attention over time.

    Args:
        channels: size of the feature axis of the input
        attention: units of the hidden layer that scores the frames

    Source: Okabe et al. 2018, arXiv 1803.10963

    """

    def __init__(self, *, channels: int, attention: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(channels, attention), nn.Tanh(), nn.Linear(attention, 1))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return the statistics (B, 2C) of frames (B, T, C), given the mask of the real ones, (B, T)."""
        scores = self.score(frames)[:, :, 0]  # (B, T)
        mean = attention_pool(frames, scores, mask)
        variance = attention_pool(frames.square(), scores, mask) - mean.square()
        return torch.cat([mean, variance.clamp(min=SMALLEST_VARIANCE).sqrt()], dim=1)


class MaskedBatchNorm(nn.Module):
    """BatchNorm over the real frames only; the output is zero at all other frames.

    In training, the mean and standard deviation are those of all real frames of the batch, as if
    ``torch.nn.BatchNorm1d`` were applied to these frames concatenated.

    Args:
        channels: size of the last axis

    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalize (B, T, C) or (B, T, F, C), given the mask of the real frames, (B, T)."""
        if is_exporting():
            return cast(Tensor, self.norm(x.flatten(0, -2))).view_as(x)  # all frames are real
        rows = x.flatten(0, 1)  # (B * T, ..., C)
        index = mask.flatten().nonzero()[:, 0]
        frames = rows.index_select(0, index)
        normal: Tensor = self.norm(frames.flatten(0, -2)).view_as(frames)
        return torch.zeros_like(rows).index_copy(0, index, normal).view_as(x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
}
