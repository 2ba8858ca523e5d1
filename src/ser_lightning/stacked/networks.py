"""Networks of several runs as one network, whose forward pass is that of the network itself with stacked layers."""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.models.cnn_bilstm import CNNBiLSTM
from ser_lightning.models.encoder_head import EncoderHead
from ser_lightning.models.ensemble import members_of
from ser_lightning.models.flat_batch import FlatBatch, flatten_batch
from ser_lightning.models.layers import MaskedBatchNorm, Standardize, standardized_frames, valid_length
from ser_lightning.models.lstm import BiLSTM
from ser_lightning.models.mlp import MLP
from ser_lightning.models.res_lstm import ResLSTM
from ser_lightning.models.se_resnet import SEResNet
from ser_lightning.stacked.layers import (
    Clips,
    ModulesOfRuns,
    StackedBatchNorm,
    StackedConvolution,
    StackedDropout,
    StackedLinear,
    StackedLSTM,
    StackedMaskedBatchNorm,
    StackedStandardize,
    by_run,
)
from ser_lightning.stacked.recurrence import run_lstm
from ser_lightning.stacked.weights import NotStackableError, SharedWeights

# Networks whose stacked form is tested to give the same losses as the network alone.
NETWORKS = (CNNBiLSTM, MLP, EncoderHead, ResLSTM, SEResNet)


def stack_networks(weights: SharedWeights, clips: Clips) -> nn.Module:
    """Return the stacked form of networks.

    Args:
        weights: weights of the networks, which the stacked form uses
        clips: description of the batch, set before each forward pass

    Returns:
        network from features (R * B, K, F) and lengths (R * B,) to logits (R * B, classes)

    Raises:
        NotStackableError: a network, or a layer of it, has no stacked form

    """
    network = type(members_of(weights.models[0])[0])
    if network not in NETWORKS:
        raise NotStackableError(f"{network.__name__} has no stacked form")
    return _stack(ModulesOfRuns(weights=weights, clips=clips))


def _stack(source: ModulesOfRuns) -> nn.Module:
    first = source.modules()[0]
    form = FORMS.get(type(first))
    return _with_stacked_parts(first, source) if form is None else form(source)


def _with_stacked_parts(first: nn.Module, source: ModulesOfRuns) -> nn.Module:
    """Return a copy of a module without weights of its own, with the stacked forms of its parts."""
    if first._parameters or first._buffers:
        raise NotStackableError(f"{type(first).__name__} has weights of its own and no stacked form")
    module = copy.copy(first)
    module._modules = {
        name: None if part is None else _stack(source.part(name)) for name, part in first._modules.items()
    }
    return module


class StackedBiLSTM(nn.Module):
    """:class:`~ser_lightning.models.lstm.BiLSTM` of several runs; both directions are computed together."""

    def __init__(self, source: ModulesOfRuns) -> None:
        super().__init__()
        self.clips = source.clips
        self.lstms = nn.ModuleList(StackedLSTM(source.part(name)) for name in ("forward_lstm", "backward_lstm"))

    def forward(self, rows: FlatBatch) -> Tensor:
        """Return the pooled outputs of each clip, (R * B, 4H)."""
        lengths = rows.lengths
        steps = len(rows.values) // len(lengths) if torch.compiler.is_compiling() else int(lengths.max())
        time = torch.arange(steps, device=lengths.device)[:, None]  # (T, 1)
        read = torch.stack([time.minimum(lengths - 1), (lengths - 1 - time).clamp(min=0)])  # (2, T, R * B)
        x = rows.values.index_select(0, (rows.starts + read).flatten()).view(*read.shape, -1)
        return self._pool(x, lengths, time)

    def over_padding(self, rows: FlatBatch, *, padding: Tensor, totals: Tensor) -> Tensor:
        """Return the pooled outputs, (R * B, 4H), of clips padded to a length, including the padding.

        Args:
            rows: the clips
            padding: (R, C), input of every padding step of each run
            totals: (R * B,), number of steps of each clip, including padding

        """
        time = torch.arange(int(totals.max()), device=totals.device)[:, None]  # (T, 1)
        blank = padding.repeat_interleave(len(totals) // len(padding), 0)  # (R * B, C)
        parts = []
        for step in (time.minimum(totals - 1), (totals - 1 - time).clamp(min=0)):  # (T, R * B), forward and backward
            index = (rows.starts + step.minimum(rows.lengths - 1)).flatten()
            x = rows.values.index_select(0, index).view(*step.shape, -1)
            parts.append(torch.where((step < rows.lengths)[:, :, None], x, blank))
        return self._pool(torch.stack(parts), totals, time)

    def _pool(self, x: Tensor, lengths: Tensor, time: Tensor) -> Tensor:
        """Run both directions over their inputs (2, T, R * B, C), and return maxima and means over the real steps."""
        runs = self.clips.runs
        steps, channels = x.size(1), x.size(3)
        each = x.transpose(0, 1).reshape(steps, 2 * runs, -1, channels)  # (T, 2R, B, C)
        both = [
            torch.cat(pair) for pair in zip(*(cast(StackedLSTM, lstm).weights() for lstm in self.lstms), strict=True)
        ]
        y = run_lstm(each, *both).reshape(steps, 2, x.size(2), -1)  # (T, 2, R * B, H)
        padding = (time >= lengths)[:, None, :, None]
        maxima = y.masked_fill(padding, -torch.inf).amax(0)
        means = y.masked_fill(padding, 0.0).sum(0) / lengths[:, None]
        return torch.cat([maxima[0], maxima[1], means[0], means[1]], dim=1)


class StackedCNNBiLSTM(CNNBiLSTM):
    """:class:`~ser_lightning.models.cnn_bilstm.CNNBiLSTM` of several runs."""

    def __init__(self, source: ModulesOfRuns) -> None:
        nn.Module.__init__(self)
        first = source.modules()[0]
        self.__dict__ |= {name: value for name, value in vars(first).items() if not name.startswith("_")}
        self._modules = _with_stacked_parts(first, source)._modules
        self.clips = source.clips

    def _summarize_padded(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the maximum and mean of the LSTM's outputs over the steps that each run has alone."""
        runs = self.clips.runs
        longest = torch.tensor(self.clips.longest, device=lengths.device).clamp(min=self.receptive_field)
        totals = longest.repeat_interleave(len(lengths) // runs)
        for step in (step for pair in zip(*self.steps, strict=True) for step in pair):
            totals = torch.div(totals - step[0], step[1], rounding_mode="floor") + 1
        differ = (-(-lengths // self.stride)).minimum(totals)  # steps whose window contains a real frame
        clips = self._convolve(features, lengths, rows=(differ - 1) * self.stride + self.receptive_field)
        nothing = lengths.new_zeros(runs)
        silent = self._convolve(features[:: len(features) // runs], nothing, rows=nothing + self.receptive_field)
        padding = by_run(silent.values, runs)[:, 0]
        lstm = cast(StackedBiLSTM, self.lstm)
        return lstm.over_padding(clips, padding=padding, totals=totals)

    def _flatten(self, features: Tensor, lengths: Tensor, *, rows: Tensor) -> FlatBatch:
        """Concatenate the clips along time, with the same number of rows for each run."""
        if torch.compiler.is_compiling():
            frames = max(features.size(1), self.receptive_field)
            frames += -frames % self.stride
            x, _ = standardized_frames(features, lengths, standardize=self.standardize, min_length=frames)
            return FlatBatch(x.flatten(0, 1), torch.arange(len(x), device=x.device) * frames, rows)
        rounded = (torch.div(rows + self.stride - 1, self.stride, rounding_mode="floor") * self.stride).clone()
        rounded = rounded.view(self.clips.runs, -1)
        total = rounded.sum(1)
        rounded[:, -1] += total.max() - total
        prepare = nn.Identity() if self.standardize is None else self.standardize
        flat = flatten_batch(features, lengths, rows=rounded.flatten(), multiple=self.stride, prepare=prepare)
        return flat._replace(lengths=rows)

    def _convolve_rows(self, layer: nn.Module, values: Tensor, *, stride: int) -> Tensor:
        """Apply a convolution along the rows."""
        assert isinstance(layer, StackedConvolution)  # noqa: S101 - from _with_stacked_parts
        return layer.along_rows(values, stride=stride)

    def _pool_rows(self, values: Tensor, size: int, stride: int) -> Tensor:
        """Apply a max-pooling along the rows; zero where a window extends into the rows of the next run.

        No such row is read, but it would carry a NaN of one run into the gradients of another.
        """
        if torch.compiler.is_compiling():
            pooled = F.max_pool1d(values.t()[None], size, stride)[0].t()
            pooled = F.pad(pooled, (0, 0, 0, len(values) // stride - len(pooled)))
        else:
            pooled = super()._pool_rows(values, size, stride)
        by_run(pooled, self.clips.runs)[:, valid_length(len(values) // self.clips.runs, size, stride) :] = 0.0
        return pooled


class StackedEncoderHead(EncoderHead):
    """:class:`~ser_lightning.models.encoder_head.EncoderHead` of several runs."""

    def __init__(self, source: ModulesOfRuns) -> None:
        nn.Module.__init__(self)
        first = source.modules()[0]
        self.__dict__ |= {name: value for name, value in vars(first).items() if not name.startswith("_")}
        self._modules = {
            name: None if part is None else _stack(source.part(name)) for name, part in first._modules.items()
        }
        self.clips, self.scores_of_runs = source.clips, cast(Tensor, source.parameter("layer_scores"))

    def _mix(self, x: Tensor) -> Tensor:
        """Return the weighted sum of the layers, (R * B, T, width)."""
        shares = self.scores_of_runs.softmax(1)[:, None, None, None]  # (R, 1, 1, 1, layers)
        layers = by_run(x.view(*x.shape[:2], self.count, -1), self.clips.runs)  # (R, B, T, layers, width)
        mixed: Tensor = shares @ layers
        return mixed.squeeze(3).flatten(0, 1)


FORMS: dict[type[nn.Module], Callable[[ModulesOfRuns], nn.Module]] = {
    nn.Linear: StackedLinear,
    nn.Conv1d: StackedConvolution,
    nn.Conv2d: StackedConvolution,
    nn.BatchNorm1d: StackedBatchNorm,
    nn.Dropout: StackedDropout,
    nn.LSTM: StackedLSTM,
    MaskedBatchNorm: StackedMaskedBatchNorm,
    Standardize: StackedStandardize,
    BiLSTM: StackedBiLSTM,
    CNNBiLSTM: StackedCNNBiLSTM,
    EncoderHead: StackedEncoderHead,
}
