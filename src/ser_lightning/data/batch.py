"""Padded batches of clips and the dataset that assembles them."""

from abc import abstractmethod
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ser_lightning.data.frames import Frames
from ser_lightning.data.speaker_normalization import NormalizedFrames


class Batch(NamedTuple):
    """Batch of clips, zero-padded at the end to the longest clip.

    Args:
        features: (B, K_max, F)
        lengths: (B,), number of real frames of each clip
        target: (B,), class index of each clip
        row: (B,), row of each clip in its dataset
        shares: (B, classes), share of each class in the target of each clip, for mixtures and for soft targets;
            None if the target of each clip is its class alone

    """

    features: Tensor
    lengths: Tensor
    target: Tensor
    row: Tensor
    shares: Tensor | None = None


class TrainingClips(NamedTuple):
    """Training clips concatenated along time.

    Args:
        frames: (R, F)
        lengths: (N,), number of frames of each clip
        targets: (N,), class index of each clip
        groups: (N,), group of each clip, such as its speaker; inner validation never divides a group

    """

    frames: Tensor
    lengths: Tensor
    targets: Tensor
    groups: list[str]


def as_batch(batch: Any) -> Batch:
    """Return the batch unchanged: the collate function of datasets whose ``__getitems__`` already pads."""
    return cast(Batch, batch)


class BatchDataset(Dataset[Batch]):
    """A dataset that returns the rows of a batch at once, padded."""

    def __getitem__(self, row: int) -> Batch:
        """Return a row as a batch of one."""
        return self.__getitems__([row])

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def __getitems__(self, rows: list[int]) -> Batch:
        """Return rows as a batch, in the order given."""


class FeatureDataset(BatchDataset):
    """Features of the rows of one subset.

    A data loader requests all rows of a batch at once (``__getitems__``): copying clips into one padded array takes
    less time than stacking separate clips or receiving them from another process.

    Args:
        frames: (all frames, F), the clips concatenated; may be memory-mapped
        offsets: (N,), index of the first frame of each row
        lengths: (N,), number of frames of each row
        targets: (N,), class index of each row
        utterances: (N,), utterance id of each row

    Attributes:
        shares: (N, classes), soft targets, which a teacher sets; None without

    """

    def __init__(
        self,
        *,
        frames: Frames | NormalizedFrames,
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
        self.shares: Tensor | None = None

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return rows as a batch, in the given order."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        lengths = self.lengths[index]  # (B,)
        # Same memory order as the cache, frame by frame, so that each clip is one copy.
        shape = (len(rows), int(lengths.max()), self.frames.shape[1])
        frames = np.zeros(shape, dtype=self.frames.dtype)  # (B, K, F)
        for clip, offset, length in zip(frames, self.offsets[index].tolist(), lengths.tolist(), strict=True):
            clip[:length] = self.frames[offset : offset + length]
        shares = None if self.shares is None else self.shares[index]
        return Batch(torch.from_numpy(frames), lengths, self.targets[index], index, shares)

    def all_frames(self) -> Tensor:
        """Return the frames of all rows, concatenated, (R, F)."""
        rows = zip(self.offsets.tolist(), self.lengths.tolist(), strict=True)
        return torch.from_numpy(np.concatenate([self.frames[offset : offset + length] for offset, length in rows]))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return the mean and standard deviation of each feature over the frames of this dataset, (F,) each."""
        count, total, square = 0, np.zeros(self.frames.shape[1]), np.zeros(self.frames.shape[1])
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            clip = self.frames[offset : offset + length].astype(np.float64)
            count += length
            total += clip.sum(0)
            square += np.square(clip).sum(0)
        mean = total / count
        deviation = np.sqrt(np.maximum(square / count - np.square(mean), 0))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
