"""Changes of a training batch: drawn for each clip on the host, then applied to all clips at once on any device."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.augmented_batch import AugmentedBatch

if TYPE_CHECKING:
    from torch import Tensor

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BatchChanges:
    """Changes of the clips of a batch. They are warped in time, then in frequency, then amplified, masked and mixed.

    Args:
        lengths: (B,), number of valid frames of each clip
        warped_lengths: (B,), number of frames after the clip is resampled linearly along time
        stretches: (B,), factor by which the rows move upward from the lowest; rows beyond the highest are lost
        gains: (B,), change of the level, dB
        masked_rows: (B, M, 2), first row of each mask and first row after it
        masked_frames: (B, N, 2), first frame of each mask and first frame after it
        partners: (B,), index in the batch of the clip with which each clip is mixed; None without mixing
        shares: (B,), weight of each clip in its mixture; the rest is the weight of its partner
        mixed_lengths: (B,), number of frames after mixing

    """

    lengths: Ints
    warped_lengths: Ints
    stretches: Doubles
    gains: Doubles
    masked_rows: Ints
    masked_frames: Ints
    partners: Ints | None
    shares: Doubles
    mixed_lengths: Ints

    @classmethod
    def none(cls, lengths: Ints) -> Self:
        """Return changes that leave clips of the given lengths as they are."""
        ones, masks = np.ones(len(lengths)), np.zeros((len(lengths), 0, 2), np.int64)
        return cls(
            lengths=lengths,
            warped_lengths=lengths,
            stretches=ones,
            gains=ones - 1,
            masked_rows=masks,
            masked_frames=masks,
            partners=None,
            shares=ones,
            mixed_lengths=lengths,
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the changes of a batch that consists of several batches, one after another."""
        starts = np.cumsum([0, *(len(part.lengths) for part in parts)])
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name not in ("masked_rows", "masked_frames", "partners")
        }
        for name in ("masked_rows", "masked_frames"):
            masks = [getattr(part, name) for part in parts]
            most = max(mask.shape[1] for mask in masks)
            joined[name] = np.concatenate([np.pad(m, ((0, 0), (0, most - m.shape[1]), (0, 0))) for m in masks])
        partners = None
        if any(part.partners is not None for part in parts):
            each = [np.arange(len(p.lengths)) if p.partners is None else p.partners for p in parts]
            partners = np.concatenate([start + part for start, part in zip(starts, each, strict=False)])
        return cls(partners=partners, **joined)

    def apply(self, features: "Tensor", *, mean: "Tensor") -> "Tensor":
        """Return the changed clips, (B, K', F), zero beyond the end of each clip; ``features`` is not modified.

        Args:
            features: (B, K, F), on any device
            mean: (F,) or (B, 1, F), value of masked frames and rows, and of a shorter clip in a mixture beyond its end

        """
        x = features
        if (self.warped_lengths != self.lengths).any():
            x = _resample_frames(x, _like(self.lengths, x), _like(self.warped_lengths, x))
        if (self.stretches != 1).any():
            x = _stretch_rows(x, _like(self.stretches, x))
        if self.gains.any():
            x = x + _like(self.gains, x).to(x.dtype)[:, None, None]
        x = x[:, : int(self.mixed_lengths.max())]
        # Masks are numbers here, because masks of truth values take several times as long on a CPU.
        inside = (_time(x) < _like(self.mixed_lengths, x)[:, None]).to(x.dtype)[:, :, None]  # (B, K', 1)
        if self.partners is not None or self.masked_rows.size or self.masked_frames.size:
            x = self._mask(x, mean.to(x.dtype))
        if self.partners is None:
            return x * inside
        own, other = (_like(share, x).to(x.dtype)[:, None, None] * inside for share in (self.shares, 1 - self.shares))
        return x.index_select(0, _like(self.partners, x)).mul_(other).addcmul_(x, own)

    def _mask(self, x: "Tensor", mean: "Tensor") -> "Tensor":
        """Replace masked values and everything beyond the end of each clip by the mean."""
        hidden = _covered(_like(self.masked_frames, x), x.shape[1])
        hidden = (hidden | (_time(x) >= _like(self.warped_lengths, x)[:, None]))[:, :, None]  # (B, K, 1)
        if self.masked_rows.size:
            hidden = hidden | _covered(_like(self.masked_rows, x), x.shape[2])[:, None]
        weight = hidden.to(x.dtype)
        return (x * (1 - weight)).addcmul_(weight, mean)


class DrawnAugment(ABC):
    """Batch augmentation whose random numbers are drawn apart from the features, so that stacked runs can share it."""

    @abstractmethod
    def draw(self, lengths: Ints, *, rows: int, generator: np.random.Generator) -> BatchChanges:
        """Draw the changes of a batch.

        Args:
            lengths: (B,), number of valid frames of each clip
            rows: number of features, F
            generator: source of the random numbers

        """

    def augment_batch(
        self, features: "Tensor", lengths: Ints, *, mean: "Tensor", generator: np.random.Generator
    ) -> AugmentedBatch:
        """Return the augmented batch; see ``ser_lightning.data.augmentation.BatchAugment``."""
        changes = self.draw(lengths, rows=features.shape[2], generator=generator)
        changed = changes.apply(features, mean=mean)
        return AugmentedBatch(changed, changes.mixed_lengths, changes.partners, changes.shares)


def _like(values: npt.NDArray[np.generic], x: "Tensor") -> "Tensor":
    """Return values as a tensor on the device of another."""
    import torch

    return torch.from_numpy(values).to(x.device, non_blocking=True)


def _time(x: "Tensor") -> "Tensor":
    """Return the index of each frame of (B, K, F), (K,)."""
    import torch

    return torch.arange(x.shape[1], device=x.device)


def _covered(masks: "Tensor", size: int) -> "Tensor":
    """Return which of a number of values are covered by masks (B, N, 2): (B, size)."""
    import torch

    place = torch.arange(size, device=masks.device)
    return ((place >= masks[:, :, :1]) & (place < masks[:, :, 1:])).any(1)


def _resample_frames(x: "Tensor", before: "Tensor", after: "Tensor") -> "Tensor":
    """Resample clips (B, K, F) linearly along time, from ``before`` (B,) to ``after`` (B,) frames."""
    import torch

    clips, longest, rows = x.shape
    time = torch.arange(int(after.max()), device=x.device).minimum(after[:, None] - 1)  # (B, K')
    steps = (after[:, None] - 1).clamp(min=1)
    place = time * (before[:, None] - 1)  # in units of 1 / steps, in which it is exact
    below = place.div(steps, rounding_mode="floor")
    share = ((place - below * steps).to(x.dtype) / steps.to(x.dtype))[:, :, None]
    first = torch.arange(0, clips * longest, longest, device=x.device)[:, None]
    low, high = (
        x.flatten(0, 1).index_select(0, (first + frame).flatten()).view(clips, -1, rows)
        for frame in (below, (below + 1).clamp(max=longest - 1))
    )
    return low.lerp_(high, share)


def _stretch_rows(x: "Tensor", stretches: "Tensor") -> "Tensor":
    """Move the rows of clips (B, K, F) upward by factors (B,), interpolated linearly."""
    import torch

    last = x.shape[2] - 1
    place = (torch.arange(last + 1, device=x.device) / stretches[:, None]).clamp(max=last)  # (B, F)
    below = place.long()
    low, high = (x.gather(2, row[:, None].expand(-1, x.shape[1], -1)) for row in (below, (below + 1).clamp(max=last)))
    return low.lerp_(high, (place - below).to(x.dtype)[:, None])
