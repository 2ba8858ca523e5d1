"""Layers and functions that take the length of each clip into account."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ser_lightning.models.exporting import as_size, is_exporting, largest
from ser_lightning.models.flat_batch import FlatBatch

GROUPS = 4  # groups of similar length per batch; with more, the steps of the LSTM are too small to be fast


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


class BiLSTM(nn.Module):
    """Bidirectional LSTM with max and mean pooling over time.

    The two directions are separate LSTMs. The backward one reads each clip reversed within its own length, so that it
    starts at the last real frame and not in the padding. The result equals that of a packed sequence at the cost of a
    gather, whereas packing is not supported by the fast CPU kernels. Clips of similar length are processed together.

    Args:
        channels: size of the feature axis of the input
        hidden: units per direction

    """

    def __init__(self, *, channels: int, hidden: int) -> None:
        super().__init__()
        self.forward_lstm = nn.LSTM(channels, hidden)
        self.backward_lstm = nn.LSTM(channels, hidden)

    def forward(self, rows: FlatBatch) -> Tensor:
        """Return the pooled outputs of each clip, (B, 4H).

        Along the last axis: maximum forward, maximum backward, mean forward, mean backward.
        """
        groups, summaries = group_by_length(rows.lengths), []
        for group in groups:
            starts, lengths = rows.starts[group], rows.lengths[group]
            time = torch.arange(largest(lengths), device=lengths.device)[:, None]  # (T, 1)
            padding = (time >= lengths)[:, :, None]  # (T, B, 1)
            forward, backward = time.minimum(lengths - 1), (lengths - 1 - time).clamp(min=0)  # (T, B), frames read
            maxima, means = [], []
            for lstm, order in ((self.forward_lstm, forward), (self.backward_lstm, backward)):
                y = lstm(_gather(rows.values, starts + order))[0]  # (T, B, H)
                maxima.append(y.masked_fill(padding, -torch.inf).amax(0))
                means.append(y.masked_fill(padding, 0.0).sum(0) / lengths[:, None])
            summaries.append(torch.cat([*maxima, *means], dim=1))
        if len(rows.lengths) == 1:
            return summaries[0]
        return torch.cat(summaries)[torch.cat(groups).argsort()]

    def over_padding(self, rows: FlatBatch, *, padding: Tensor, total: int) -> Tensor:
        """Return the pooled outputs, (B, 4H), of clips padded to the same length, including the padding.

        The padding is the same in every clip, so the backward steps over the longest common padding of a group are
        computed once.

        Args:
            rows: the clips
            padding: (1, C), input of every padding step
            total: number of steps of every clip, including padding

        """
        time = torch.arange(total, device=padding.device)[:, None]  # (T, 1)
        blank = padding[:, None]  # (1, 1, C)
        groups, inputs, maxima, sums = group_by_length(rows.lengths), [], [], []
        for group in groups:
            lengths = rows.lengths[group]
            longest = int(lengths.max())
            x = _gather(rows.values, rows.starts[group] + time[:longest].minimum(lengths - 1))  # (T, B, C)
            x = torch.where((time[:longest] < lengths)[:, :, None], x, blank)
            inputs.append(torch.cat([x, blank.expand(total - longest, len(group), -1)]))
            parts, state = [], None
            if longest < total:
                y, last = self.backward_lstm(blank.expand(total - longest, 1, -1))
                parts = [y.expand(-1, len(group), -1)]
                state = tuple(s.expand(-1, len(group), -1).contiguous() for s in last)
            parts.append(self.backward_lstm(x.flip(0), state)[0])
            maxima.append(torch.stack([y.amax(0) for y in parts]).amax(0))
            sums.append(torch.stack([y.sum(0) for y in parts]).sum(0))
        forward = self.forward_lstm(torch.cat(inputs, dim=1))[0]  # (T, B, H)
        parts = [forward.amax(0), torch.cat(maxima), forward.mean(0), torch.cat(sums) / total]
        return torch.cat(parts, dim=1)[torch.cat(groups).argsort()]


def group_by_length(lengths: Tensor) -> list[Tensor]:
    """Group the clips of a batch by similar length.

    Return the indices of the clips in each group. A small batch is one group, and so is any batch on an accelerator,
    where a step of many clips takes as long as a step of few.

    >>> [group.tolist() for group in group_by_length(torch.tensor([3, 9, 2, 8, 1, 7, 4, 6]))]
    [[4, 2], [0, 6], [7, 5], [3, 1]]
    """
    if len(lengths) == 1:
        return [torch.zeros_like(lengths)]
    order = lengths.argsort(stable=True)
    grouped = lengths.device.type == "cpu" and len(order) >= 2 * GROUPS
    return list(order.chunk(GROUPS)) if grouped else [order]


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """Return the rows (R, C) at an index (T, B): (T, B, C)."""
    return rows.index_select(0, index.flatten()).view(*index.shape, -1)


def check_sizes(sizes: Mapping[str, int | Sequence[int]]) -> None:
    """Check the sizes of a network, given by their names in its config.

    Raises:
        ValueError: a size is below 1, or a list of sizes is empty

    """
    for name, value in sizes.items():
        values = [value] if isinstance(value, int) else list(value)
        if not values or min(values) < 1:
            raise ValueError(f"model.{name} is {value!r}; expected whole numbers of at least 1")


def check_probabilities(probabilities: Mapping[str, float]) -> None:
    """Check the dropout probabilities of a network, given by their names in its config.

    Raises:
        ValueError: a probability is outside [0, 1)

    """
    for name, p in probabilities.items():
        if not 0 <= p < 1:
            raise ValueError(f"model.{name} is {p}; expected a probability of at least 0 and less than 1")


def initialize_as_keras(network: nn.Module) -> None:
    """Initialize convolutions, fully connected layers and LSTMs as Keras does.

    Weights are uniform within Glorot's limits and biases are zero (Glorot & Bengio 2010, eq. 16). The recurrent weights
    of an LSTM are orthogonal, and the bias of its forget gate is one.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.LSTM):
            for name, parameter in layer.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(parameter)
                else:
                    nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):  # bias_hh, which torch adds to it, stays zero
                    nn.init.ones_(parameter.data[layer.hidden_size : 2 * layer.hidden_size])


def initialize_as_he(network: nn.Module) -> None:
    """Initialize convolutions and fully connected layers so that ReLU preserves the scale of the signal.

    Weights are normal with a variance of 2 / inputs and biases are zero (He et al. 2015, eq. 10). With torch's default
    initialization, which is made for no particular activation, the signal fades from layer to layer where there is no
    BatchNorm.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


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
    longest = int(lengths.max())
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
