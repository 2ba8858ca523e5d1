"""Clips of many lengths as one tensor."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset


class Batch(NamedTuple):
    """Clips, padded with zeros at the end to the longest.

    Args:
        features: (B, F, K_max)
        lengths: (B,), frames of each clip that are real
        target: (B,), class index of each clip
        row: (B,), row of each clip in its dataset

    """

    features: Tensor
    lengths: Tensor
    target: Tensor
    row: Tensor


class FeatureDataset(Dataset[Batch]):
    """The rows of one subset; indexed by a list of rows, it returns them as a batch.

    A whole batch is gathered by one ``index_select`` on the frames: cheaper than a clip at a time, so that loading
    needs no worker process.

    Args:
        frames: (all frames, F), the clips one after another; may be memory-mapped
        offsets: (N,), first frame of each row
        lengths: (N,), frames of each row
        targets: (N,), class index of each row
        utterances: (N,), id of each row

    """

    def __init__(
        self,
        *,
        frames: Tensor,
        offsets: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        targets: npt.NDArray[np.int64],
        utterances: list[str],
    ) -> None:
        self.frames = frames
        self.offsets = torch.from_numpy(offsets)
        self.lengths = torch.from_numpy(lengths)
        self.targets = torch.from_numpy(targets)
        self.utterances = utterances

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, rows: list[int]) -> Batch:
        """Return the rows as a batch, in the order given."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        lengths = self.lengths[index]  # (B,)
        time = torch.arange(int(lengths.max()))  # (K,)
        real = time < lengths[:, None]  # (B, K)
        # Padding reads the clip's first frame and is zeroed after: the index must not leave the clip.
        position = torch.where(real, self.offsets[index][:, None] + time, self.offsets[index][:, None])  # (B, K)
        features = self.frames.index_select(0, position.flatten()).view(*real.shape, -1)  # (B, K, F)
        features.masked_fill_(~real[:, :, None], 0.0)
        return Batch(features.transpose(1, 2).contiguous(), lengths, self.targets[index], index)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of every feature over the frames of this dataset, each (F,)."""
        count, total, square = 0, torch.zeros(self.frames.shape[1], dtype=torch.float64), torch.tensor(0.0)
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            clip = self.frames[offset : offset + length].double()
            count += length
            total = total + clip.sum(0)
            square = square + clip.square().sum(0)
        mean = total / count
        deviation = (square / count - mean.square()).clamp_min(0).sqrt()
        return mean.float(), deviation.float()
