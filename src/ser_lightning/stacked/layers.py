"""Layers of several networks at once.

The batches of all runs are one batch: clips of run 0, then those of run 1 and so on, as many of each. Layers without
weights process it as they process any batch; the layers of this module apply the weights of each run to its clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.stacked.batches import FoldedBatch
from ser_lightning.stacked.recurrence import run_lstm
from ser_lightning.stacked.weights import NotStackableError, SharedWeights


@dataclass(kw_only=True)
class Clips:
    """The clips that the layers are given, set before each forward pass.

    Args:
        runs: number of runs, R
        sizes: number of clips of each run; the others of its B clips fill up the batch
        longest: number of frames of the longest clip of each run
        real: (R, B), whether a clip does not fill up the batch; None if none does
        generators: source of the dropout masks of each run
        dropped: layers that have drawn dropout masks, and the shapes of their inputs

    """

    runs: int
    sizes: list[int] = field(default_factory=list)
    longest: list[int] = field(default_factory=list)
    real: Tensor | None = None
    generators: list[torch.Generator] = field(default_factory=list)
    dropped: list[tuple["StackedDropout", torch.Size]] = field(default_factory=list)

    def describe(self, batch: FoldedBatch, *, generators: list[torch.Generator]) -> None:
        """Set the clips of a batch."""
        self.sizes, self.longest, self.generators, self.dropped = batch.sizes, batch.longest, generators, []
        self.real = None if min(batch.sizes) == batch.target.size(1) else batch.real


@dataclass(frozen=True, kw_only=True)
class ModulesOfRuns:
    """A module of the networks of all runs, from which its stacked form is made.

    Args:
        weights: weights of the networks
        clips: the clips that the stacked form is given
        name: name of the module within the networks

    """

    weights: SharedWeights
    clips: Clips
    name: str = ""

    def part(self, name: str) -> "ModulesOfRuns":
        """Return a module within this one."""
        return replace(self, name=f"{self.name}.{name}".strip("."))

    def modules(self) -> list[nn.Module]:
        """Return the module of each run."""
        return [model.get_submodule(self.name) for model in self.weights.models]

    def parameter(self, name: str) -> nn.Parameter | None:
        """Return a parameter of the modules of all runs, (R, ...), or None if they have none of this name."""
        full = f"{self.name}.{name}".strip(".")
        names = (name for name, _ in self.weights.models[0].named_parameters())
        return self.weights.stacked(full) if full in names else None

    def buffer(self, name: str) -> Tensor:
        """Return a buffer of the modules of all runs, (R, ...)."""
        return self.weights.stacked_buffer(f"{self.name}.{name}".strip("."))


def by_run(x: Tensor, runs: int) -> Tensor:
    """Return a view (R, B, ...) of the clips (R * B, ...) of several runs."""
    return x.view(runs, -1, *x.shape[1:])


class StackedLinear(nn.Module):
    """Fully connected layers."""

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        self.runs = source.clips.runs
        self.weight, self.bias = source.parameter("weight"), source.parameter("bias")

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (R * B, ..., O) of inputs (R * B, ..., I)."""
        weight = cast(Tensor, self.weight)
        y = x.reshape(self.runs, -1, x.size(-1)) @ weight.transpose(1, 2)
        if self.bias is not None:
            y = y + self.bias[:, None]
        return y.reshape(*x.shape[:-1], weight.size(1))


class StackedConvolution(nn.Module):
    """Convolutions, as groups of one convolution."""

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        self.runs = source.clips.runs
        self.weight, self.bias = source.parameter("weight"), source.parameter("bias")
        layer = cast("nn.Conv1d | nn.Conv2d", source.modules()[0])
        if layer.groups != 1 or layer.padding_mode != "zeros":
            raise NotStackableError("a convolution has groups or padding of another kind than zeros")
        self.convolve = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv2d
        self.options: dict[str, Any] = {name: getattr(layer, name) for name in ("stride", "padding", "dilation")}

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (R * B, O, ...) of inputs (R * B, I, ...)."""
        weight = cast(Tensor, self.weight)
        wide = by_run(x, self.runs).transpose(0, 1).flatten(1, 2)  # (B, R * I, ...)
        bias = None if self.bias is None else self.bias.flatten()
        y = self.convolve(wide, weight.flatten(0, 1), bias, groups=self.runs, **self.options)
        return y.view(len(y), self.runs, -1, *y.shape[2:]).transpose(0, 1).flatten(0, 1)

    def along_rows(self, rows: Tensor, *, stride: int) -> Tensor:
        """Convolve rows (R * M, I), M a multiple of the stride, as :func:`ser_lightning.models.flat_batch.convolve`."""
        weight = cast(Tensor, self.weight)  # (R, O, I, kernel)
        flat = weight.permute(0, 3, 2, 1).flatten(1, 2)  # (R, kernel * I, O)
        blocks = rows.view(self.runs, -1, stride * rows.size(1))  # (R, M / stride, stride * I)
        spans = -(-flat.size(1) // blocks.size(2))
        complete = blocks.size(1) - spans + 1
        out = cast(Tensor, self.bias)[:, None].expand(-1, complete, -1)
        for n, part in enumerate(torch.split(flat, blocks.size(2), 1)):
            out = out + blocks[:, n : n + complete, : part.size(1)] @ part
        return F.pad(out, (0, 0, 0, spans - 1)).flatten(0, 1)


class StackedBatchNorm(nn.Module):
    """BatchNorm of each run over its own clips; clips that fill up a batch do not count.

    Args:
        source: the layers of the runs

    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        layer = cast(nn.BatchNorm1d, source.modules()[0])
        if layer.momentum is None or not layer.affine or not layer.track_running_stats:
            raise NotStackableError("a BatchNorm has no momentum, weights or running statistics")
        self.clips, self.momentum, self.eps = source.clips, layer.momentum, layer.eps
        self.weight, self.bias = source.parameter("weight"), source.parameter("bias")
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, source.buffer(name))  # (R, C), (R, C) and (R,)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (R * B, C)."""
        return self.normalize(by_run(x, self.clips.runs), self.clips.real).flatten(0, 1)

    def normalize(self, x: Tensor, real: Tensor | None) -> Tensor:
        """Normalize rows (R, N, C), of which only those in ``real`` (R, N) count; None if all do."""
        mean, variance = self._statistics(x, real) if self.training else (self.running_mean, self.running_var)
        scale = cast(Tensor, self.weight) * (variance + self.eps).rsqrt()
        return (x - mean[:, None]) * scale[:, None] + cast(Tensor, self.bias)[:, None]

    def _statistics(self, x: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and variance (R, C) of the rows, and update the running statistics."""
        if real is None:
            count = x.new_full((len(x), 1), x.size(1))
            variance, mean = torch.var_mean(x, dim=1, correction=0)
        else:
            weights = real[:, :, None].to(x)
            number = weights.sum(1)  # (R, 1)
            count = number.clamp(min=1)
            mean = (x * weights).sum(1) / count
            variance = ((x - mean[:, None]).square() * weights).sum(1) / count
        with torch.no_grad():
            weight = x.new_full((len(x), 1), self.momentum)
            if real is not None:
                weight *= number > 0  # a run without a batch keeps its statistics
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_mean.add_((mean - self.running_mean) * weight)
            self.running_var.add_((unbiased - self.running_var) * weight)
            self.num_batches_tracked.add_((weight[:, 0] > 0).to(self.num_batches_tracked))
        return mean, variance


class StackedMaskedBatchNorm(nn.Module):
    """BatchNorm of each run over the real frames of its own clips; the output is zero at all other frames."""

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        self.clips, self.norm = source.clips, StackedBatchNorm(source.part("norm"))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalize (R * B, T, C) or (R * B, T, F, C), given the mask of the real frames, (R * B, T)."""
        runs = self.clips.runs
        if self.clips.real is not None:
            mask = mask & self.clips.real.flatten()[:, None]
        frames = x.flatten(2, -2) if x.dim() == 4 else x[:, :, None]  # (R * B, T, F, C)
        each = mask[:, :, None].expand(frames.shape[:3]).reshape(runs, -1)
        normal = self.norm.normalize(frames.reshape(runs, -1, x.size(-1)), each)
        return (normal * each[:, :, None]).view(x.shape)


class StackedStandardize(nn.Module):
    """Standardization by the training clips of each run."""

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        self.runs = source.clips.runs
        self.mean, self.deviation = source.buffer("mean"), source.buffer("deviation")

    def forward(self, x: Tensor) -> Tensor:
        """Standardize frames (R * B, ..., F) in place."""
        rows = by_run(x, self.runs)
        shape = (self.runs, *[1] * (rows.dim() - 2), -1)
        rows.sub_(self.mean.view(shape)).div_(self.deviation.view(shape))
        return x


class StackedDropout(nn.Module):
    """Dropout with the probability and the masks of each run, as it would draw them alone.

    Attributes:
        mask: the masks of the next forward pass; None to draw them there

    """

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        self.clips = source.clips
        self.p = [cast(nn.Dropout, layer).p for layer in source.modules()]
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Set values of (R * B, ...) to zero and scale the others."""
        if not self.training or not any(self.p):
            return x
        if self.mask is not None:
            return x * self.mask
        if x.dim() > 2 and x.size(1) != max(self.clips.longest):
            raise NotStackableError("a dropout layer follows a layer with a stride over time")
        self.clips.dropped.append((self, x.shape))
        return x * self.draw(x.shape, like=x)

    def draw(self, shape: Sequence[int], *, like: Tensor) -> Tensor:
        """Draw the masks for an input of a shape, with the type and device of a tensor."""
        clips = self.clips
        mask = like.new_ones(clips.runs, shape[0] // clips.runs, *shape[1:])
        for run, (size, p) in enumerate(zip(clips.sizes, self.p, strict=True)):
            if p and size:
                run_mask = mask[run, :size]
                if len(shape) > 2:  # frames; alone, the batch would end with the longest clip of the run
                    run_mask = run_mask[:, : clips.longest[run]]
                if run_mask.is_contiguous():
                    run_mask.bernoulli_(1 - p, generator=clips.generators[run])
                else:
                    run_mask.copy_(like.new_empty(run_mask.shape).bernoulli_(1 - p, generator=clips.generators[run]))
        kept = like.new_tensor([1 - p for p in self.p]).view(-1, *[1] * len(shape))
        return mask.div_(kept).flatten(0, 1)


class StackedLSTM(nn.Module):
    """Unidirectional LSTMs of one layer."""

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        layer = cast(nn.LSTM, source.modules()[0])
        if layer.num_layers != 1 or layer.bidirectional or not layer.bias or layer.proj_size:
            raise NotStackableError("an LSTM has several layers, two directions, no bias or a projection")
        self.runs, self.batch_first = source.clips.runs, layer.batch_first
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = (source.parameter(f"{name}_l0") for name in names)

    def weights(self) -> list[Tensor]:
        """Return the weights and biases as the arguments of :func:`run_lstm`."""
        return [cast(Tensor, each) for each in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)]

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the outputs (R * B, T, H), or (T, R * B, H) if time comes first."""
        if self.batch_first:
            x = x.transpose(0, 1)
        y = run_lstm(x.reshape(len(x), self.runs, -1, x.size(2)), *self.weights()).flatten(1, 2)
        return (y.transpose(0, 1) if self.batch_first else y), None
