"""Convolution and pooling over clips laid one after another, a frame a row.

Between clips lie no frames of padding, or few: a batch of clips of many lengths costs what its real frames cost. A
window that reaches from one clip into the next gives a row that means nothing and that nobody reads. What there is to
know of the layout is in :class:`Rows`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class Rows(NamedTuple):
    """Clips one after another.

    Args:
        values: (R, C), finite everywhere
        starts: (B,), first row of each clip
        lengths: (B,), rows of each clip that mean something

    """

    values: Tensor
    starts: Tensor
    lengths: Tensor


def lay(x: Tensor, lengths: Tensor, *, rows: Tensor, multiple: int, prepare: Callable[[Tensor], Tensor]) -> Rows:
    """Lay the clips of a padded batch one after another.

    Args:
        x: (B, C, T)
        lengths: (B,), frames of each clip that are real
        rows: (B,), rows that each clip is to have; beyond ``lengths`` they are zero
        multiple: every clip starts at a multiple of it, so that strides which divide it keep the clips apart
        prepare: of (R, C), in place; done to every frame before the others are made zero

    """
    taken = torch.div(rows + multiple - 1, multiple, rounding_mode="floor") * multiple
    starts = taken.cumsum(0) - taken
    clip = torch.repeat_interleave(taken)  # (R,)
    time = torch.arange(len(clip), device=x.device) - starts[clip]  # (R,)
    real = time < lengths[clip]
    frames = x.transpose(1, 2).reshape(-1, x.size(1))  # (B * T, C), a view where the batch was gathered frame by frame
    values = prepare(frames.index_select(0, (clip * x.size(2) + time).where(real, 0)))
    return Rows(values.index_fill_(0, (~real).nonzero()[:, 0], 0.0), starts, rows)


class _Convolution(Function):
    """The windows that start at the multiples of the stride, as matrix products without copies.

    ``stride`` rows side by side are one row of a matrix; a kernel spans a few of these, and its product with each is
    summed.
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
        weight: (O, C, kernel size), as of ``torch.nn.Conv1d``
        bias: (O,)
        stride: rows from window to window

    Returns:
        (R / stride, O); zero where the window would reach beyond the last row

    """
    out: Tensor = _Convolution.apply(x, weight, bias, stride)  # type: ignore[no-untyped-call]
    return out


class _MaxPool(Function):
    """The maximum of windows at every row, from maxima of windows half as wide.

    Of equal values the first one gets the gradient, as in ``torch.nn.MaxPool1d``.
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
    """Take the maximum of windows along the rows.

    Args:
        x: (R, C), R a multiple of ``stride``
        size: rows of a window
        stride: rows from window to window

    Returns:
        (R / stride, C); zero where the window would reach beyond the last row

    """
    out: Tensor = _MaxPool.apply(x, size)  # type: ignore[no-untyped-call]
    return out[::stride].contiguous()
