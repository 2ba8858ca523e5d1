"""Clips of many lengths as one tensor."""

from typing import Any, NamedTuple, cast

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
        shares: (B, classes), how much of each clip is of each class; None if each is of its own alone

    """

    features: Tensor
    lengths: Tensor
    target: Tensor
    row: Tensor
    shares: Tensor | None = None


class Clips(NamedTuple):
    """Clips, one after another.

    Args:
        frames: (R, F)
        lengths: (N,), frames of each clip
        targets: (N,), class index of each clip
        groups: (N,), what a validation among them must not divide

    """

    frames: Tensor
    lengths: Tensor
    targets: Tensor
    groups: list[str]


def as_batch(batch: Any) -> Batch:
    """Return a batch as it is: the collate function of datasets whose ``__getitems__`` pads already."""
    return cast(Batch, batch)


class FeatureDataset(Dataset[Batch]):
    """The rows of one subset.

    A data loader asks for the rows of a batch at once (``__getitems__``) and gets them padded: copying clips into
    their places takes less time than stacking single clips, or than sending them from another process.

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
        frames: npt.NDArray[np.float32],
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

    def __getitem__(self, rows: int | list[int]) -> Batch:
        """Return a row, or several in the order given, as a batch."""
        return self.__getitems__([rows] if isinstance(rows, int) else rows)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return rows as a batch, in the order given."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        lengths = self.lengths[index]  # (B,)
        # Frame by frame, as they are stored, so that a clip is copied in one piece; the batch is a view of it.
        frames = np.zeros((len(rows), int(lengths.max()), self.frames.shape[1]), dtype=np.float32)  # (B, K, F)
        for clip, offset, length in zip(frames, self.offsets[index].tolist(), lengths.tolist(), strict=True):
            clip[:length] = self.frames[offset : offset + length]
        return Batch(torch.from_numpy(frames).transpose(1, 2), lengths, self.targets[index], index)

    def all_frames(self) -> Tensor:
        """Return the frames of all rows, one row after another, (R, F)."""
        rows = zip(self.offsets.tolist(), self.lengths.tolist(), strict=True)
        return torch.from_numpy(np.concatenate([self.frames[offset : offset + length] for offset, length in rows]))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of every feature over the frames of this dataset, each (F,)."""
        count, total, square = 0, np.zeros(self.frames.shape[1]), np.zeros(self.frames.shape[1])
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            clip = self.frames[offset : offset + length].astype(np.float64)
            count += length
            total += clip.sum(0)
            square += np.square(clip).sum(0)
        mean = total / count
        deviation = np.sqrt(np.maximum(square / count - np.square(mean), 0))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
