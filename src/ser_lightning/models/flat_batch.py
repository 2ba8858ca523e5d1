"""Convolution and pooling over concatenated clips, one frame per row.

There is little or no padding between clips, so that a batch of clips of different lengths costs only what its real
frames cost. A window that spans two clips gives a meaningless output row, which is never read. :class:`FlatBatch`
describes the layout.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ser_lightning.models.exporting import as_size, is_exporting


class FlatBatch(NamedTuple):
    """Clips concatenated along time.

    Args:
        values: (R, C), finite everywhere
        starts: (B,), first row of each clip
        lengths: (B,), number of valid rows of each clip

    """

    values: Tensor
    starts: Tensor
    lengths: Tensor


def flatten_batch(
    x: Tensor, lengths: Tensor, *, rows: Tensor, multiple: int, prepare: Callable[[Tensor], Tensor]
) -> FlatBatch:
    """Concatenate the clips of a padded batch along time.

    Args:
        x: (B, T, C)
        lengths: (B,), number of real frames of each clip
        rows: (B,), number of rows for each clip; rows beyond ``lengths`` are zero
        multiple: every clip starts at a multiple of this number, so that strides which divide it keep clips apart
        prepare: function of (R, C), in place, applied to the frames before the padding is set to zero

    """
    if is_exporting():
        frames = prepare(x[0].clone())
        blank = frames.new_zeros(1, x.size(2)).expand(as_size(rows[0] - lengths[0]), -1)
        return FlatBatch(torch.cat([frames, blank]), torch.zeros_like(rows), rows)
    rounded = torch.div(rows + multiple - 1, multiple, rounding_mode="floor") * multiple
    starts = rounded.cumsum(0) - rounded
    clip = torch.repeat_interleave(rounded)  # (R,)
    time = torch.arange(len(clip), device=x.device) - starts[clip]  # (R,)
    real = time < lengths[clip]
    frames = x.reshape(-1, x.size(2))  # (B * T, C)
    values = prepare(frames.index_select(0, (clip * x.size(1) + time).where(real, 0)))
    return FlatBatch(values.index_fill_(0, (~real).nonzero()[:, 0], 0.0), starts, rows)


def clip_of_row(lengths: Tensor) -> Tensor:
    """Return the index of the clip of each row of a flat batch without padding, (R,)."""
    if is_exporting():
        return lengths.new_zeros(1).expand(as_size(lengths[0]))
    return torch.repeat_interleave(lengths)


class _Convolution(Function):
    """Convolution with windows at the multiples of the stride, as matrix products without copies.

    ``stride`` consecutive rows are treated as one row of a matrix. A kernel spans a few of these rows, and its products
    with them are summed.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        outputs, channels, kernel = weight.shape
        blocks = x.view(len(x) // stride, stride * channels)
        flat = weight.permute(2, 1, 0).reshape(kernel * channels, outputs)
        out = x.new_empty(len(blocks), outputs)
        spans = -(-kernel // stride)
        complete = out[: len(blocks) - spans + 1]
        out[len(complete) :] = 0.0
        for n in range(spans):
            part = flat[n * stride * channels : (n + 1) * stride * channels]
            torch.addmm(complete if n else bias, blocks[n : n + len(complete), : len(part)], part, out=complete)
        ctx.save_for_backward(blocks, flat)
        ctx.kernel, ctx.channels = kernel, channels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        blocks, flat = ctx.saved_tensors
        width, outputs = blocks.size(1), flat.size(1)
        spans = -(-len(flat) // width)
        gradient = gradient[: len(blocks) - spans + 1]
        of_flat = torch.empty_like(flat)
        of_blocks = torch.zeros_like(blocks) if ctx.needs_input_grad[0] else None
        for n in range(spans):
            part = slice(n * width, min((n + 1) * width, len(flat)))
            wide = part.stop - part.start
            torch.mm(blocks[n : n + len(gradient), :wide].t(), gradient, out=of_flat[part])
            if of_blocks is not None:
                of_blocks[n : n + len(gradient), :wide].addmm_(gradient, flat[part].t())
        of_weight = of_flat.view(ctx.kernel, ctx.channels, outputs).permute(2, 1, 0)
        return None if of_blocks is None else of_blocks.view(-1, ctx.channels), of_weight, gradient.sum(0), None


def convolve(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Convolve along the rows.

    Args:
        x: (R, C), R a multiple of ``stride``
        weight: (O, C, kernel size), as in ``torch.nn.Conv1d``
        bias: (O,)
        stride: rows between the starts of consecutive windows

    Returns:
        (R / stride, O); zero where the window would extend beyond the last row

    """
    if is_exporting():
        return F.conv1d(x.t()[None], weight, bias, stride)[0].t()
    out: Tensor = _Convolution.apply(x, weight, bias, stride)  # type: ignore[no-untyped-call]
    return out


class _MaxPool(Function):
    """Maximum of the window at every row, computed from maxima of smaller windows, doubling their size.

    Among equal values the first one gets the gradient, as in ``torch.nn.MaxPool1d``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int) -> Tensor:
        top, width, ctx.steps = x, 1, []
        while width < size:
            step = min(width, size - width)
            first, second = top[:-step], top[step:]
            ctx.steps.append((step, second > first))
            top, width = torch.maximum(first, second), width + step
        out = torch.zeros_like(x)
        out[: len(top)] = top
        ctx.rows = len(top)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient[: ctx.rows]
        for step, second_wins in reversed(ctx.steps):
            of_second = gradient * second_wins
            wider = gradient.new_zeros(len(gradient) + step, gradient.size(1))
            torch.sub(gradient, of_second, out=wider[:-step])
            wider[step:] += of_second
            gradient = wider
        return gradient, None


def max_pool(x: Tensor, size: int, stride: int) -> Tensor:
    """Max-pool along the rows.

    Args:
        x: (R, C), R a multiple of ``stride``
        size: rows per window
        stride: rows between the starts of consecutive windows

    Returns:
        (R / stride, C); zero where the window would extend beyond the last row

    """
    if is_exporting():
        return F.max_pool1d(x.t()[None], size, stride)[0].t()
    out: Tensor = _MaxPool.apply(x, size)  # type: ignore[no-untyped-call]
    return out[::stride].contiguous()
