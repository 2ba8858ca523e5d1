"""Spectrograms as images of different lengths: resizing, and layers that respect the end of each clip.

The height of an image is time: each frame is one row.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.models.checks import check_sizes
from ser_lightning.models.layers import MaskedBatchNorm, length_mask, valid_length, valid_lengths


def resize(frames: Tensor, lengths: Tensor, *, size: int) -> Tensor:
    """Resize each clip, by its own length, to a square image.

    This is linear interpolation with antialiasing: an axis that shrinks is smoothed first, so that every frame and
    every feature contributes. It equals ``torch.nn.functional.interpolate`` with ``mode="bilinear"`` and
    ``antialias=True``, applied to each clip.

    Args:
        frames: (B, T, F)
        lengths: (B,), number of frames of each clip
        size: rows and columns of the image

    Returns:
        (B, size, size), the first of the two image axes is time

    """
    in_time = _weights(lengths, frames.size(1), size)  # (B, size, T)
    in_frequency = _weights(lengths.new_tensor([frames.size(2)]), frames.size(2), size)[0]  # (size, F)
    return in_time @ frames @ in_frequency.t()  # (B, size, size)


def _weights(lengths: Tensor, total: int, size: int) -> Tensor:
    """Return the weights of linear interpolation from ``total`` inputs to ``size`` outputs, (B, size, total).

    Only the first ``lengths`` (B,) inputs are real; the others get zero weight.
    """
    scale = (lengths / size)[:, None, None]  # (B, 1, 1)
    centers = (torch.arange(size, device=lengths.device)[:, None] + 0.5) * scale  # (B, size, 1)
    places = torch.arange(total, device=lengths.device) + 0.5  # (total,)
    weights = (1 - (places - centers).abs() / scale.clamp(min=1)).clamp(min=0)  # (B, size, total)
    weights = weights * length_mask(lengths, total)[:, None]
    return weights / weights.sum(2, keepdim=True)


class Stage(NamedTuple):
    """Convolution, optionally followed by max-pooling.

    Args:
        inputs: input channels
        outputs: output channels
        kernel_size: rows and columns of the kernel
        stride: stride of the convolution
        padding: zeros added on each side of the input
        pool: whether max-pooling follows

    """

    inputs: int
    outputs: int
    kernel_size: int
    stride: int
    padding: int
    pool: bool

    def convolution(self) -> nn.Conv2d:
        """Return the convolutional layer."""
        return nn.Conv2d(self.inputs, self.outputs, self.kernel_size, self.stride, self.padding)

    def valid_length(self, length: int, *, pool_size: int, pool_stride: int) -> int:
        """Return the number of output rows for ``length`` input rows."""
        length = valid_length(length + 2 * self.padding, self.kernel_size, self.stride)
        return valid_length(length, pool_size, pool_stride) if self.pool else length

    def needed_length(self, length: int, *, pool_size: int, pool_stride: int) -> int:
        """Return the number of input rows needed for ``length`` output rows."""
        length = (length - 1) * pool_stride + pool_size if self.pool else length
        return max(1, (length - 1) * self.stride + self.kernel_size - 2 * self.padding)


def stages(
    *,
    channels: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    paddings: Sequence[int],
    pools: Sequence[bool],
) -> list[Stage]:
    """Return the stages described by the lists of a config, each with one value per stage.

    The first stage has one input channel.

    Raises:
        ValueError: lists of unequal length, a size below 1, a padding below 0

    """
    lists = [channels, kernel_sizes, strides, paddings, pools]
    if len({len(values) for values in lists}) != 1:
        raise ValueError(
            "model.channels, kernel_sizes, strides, paddings and pools have lengths"
            f" {[len(values) for values in lists]}; expected one value a convolution in each"
        )
    check_sizes({"channels": channels, "kernel_sizes": kernel_sizes, "strides": strides})
    if min(paddings) < 0:
        raise ValueError(f"model.paddings is {list(paddings)}; expected whole numbers of at least 0")
    return [Stage(*values) for values in zip([1, *channels[:-1]], *lists, strict=True)]


def channels_last(layers: nn.Module) -> nn.Module:
    """Store the channels of each pixel contiguously, which halves the run time of convolutions on a CPU."""
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class Images(NamedTuple):
    """Images of different heights, padded to one tensor.

    Args:
        values: (B, C, T, F), zero beyond the end of each clip
        lengths: (B,), number of real rows of each clip; padding affects no result

    """

    values: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Mask of the real rows, (B, T)."""
        return length_mask(self.lengths, self.values.size(2))


def convolve(images: Images, layer: nn.Conv2d) -> Images:
    """Apply a convolution; its zero padding surrounds each clip, not the batch."""
    values = layer(images.values)
    padded = images.lengths + 2 * int(layer.padding[0])
    return _ended(values, valid_lengths(padded, layer.kernel_size[0], layer.stride[0]))


def max_pool(images: Images, *, size: tuple[int, int], stride: tuple[int, int]) -> Images:
    """Max-pool over windows, in frames and features, that lie within the clip."""
    values = F.max_pool2d(images.values, size, stride)
    return _ended(values, valid_lengths(images.lengths, size[0], stride[0]))


def normalize(images: Images, layer: MaskedBatchNorm) -> Images:
    """Normalize each channel over the real rows."""
    values = layer(images.values.permute(0, 2, 3, 1), images.mask).permute(0, 3, 1, 2)  # (B, T, F, C) and back
    return Images(values, images.lengths)


def _ended(values: Tensor, lengths: Tensor) -> Images:
    beyond = ~length_mask(lengths, values.size(2))  # (B, T)
    return Images(values.masked_fill(beyond[:, None, :, None], 0.0), lengths)
