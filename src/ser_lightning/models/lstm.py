"""Bidirectional LSTM over the real frames of each clip."""

import torch
from torch import Tensor, nn

from ser_lightning.models.exporting import largest
from ser_lightning.models.flat_batch import FlatBatch

GROUPS = 4  # groups of similar length per batch; with more, the steps of the LSTM are too small to be fast


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
