"""SpecAugment: masks over the features of training clips."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.batch_changes import BatchChanges, DrawnAugment, Ints
from ser_lightning.errors import check_value

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SpecAugment(DrawnAugment):
    """Mask random feature rows and frames of each clip, newly drawn for each batch as torchaudio draws them.

    A frequency mask is narrower than ``frequency_width`` rows. A time mask is shorter than ``time_width`` frames and
    than ``time_share`` of the valid frames of the clip, and lies within them. Widths are uniform. Positions are uniform
    from 0 up to, but not including, the position at which the mask would end at the last row or frame. Masks may
    overlap. Masked values become the mean of their row over the training set, which is 0 after standardization; the
    mean of the clip would reveal how loud the masked row is. Rows are those of the feature matrix, so with stacked
    features (static, delta) a mask covers neighboring rows in that order. There is no time warping, which mattered
    least in the paper.

    Args:
        frequency_masks: number of masks over rows
        frequency_width: exclusive upper limit of their width, rows
        time_masks: number of masks over frames
        time_width: exclusive upper limit of their width, frames
        time_share: upper limit of their width as a share of the valid frames of the clip

    Raises:
        InputError: a number is negative, or the share is outside [0, 1]

    Source: ``torchaudio.functional.mask_along_axis_iid``; Park et al. 2019, "SpecAugment", whose policies for 80 rows
    and clips of about 1200 frames have two masks of each kind, with limits of 27 rows and 100 frames.

    """

    frequency_masks: int
    frequency_width: int
    time_masks: int
    time_width: int
    time_share: float

    def __post_init__(self) -> None:
        for name in ("frequency_masks", "frequency_width", "time_masks", "time_width"):
            value = getattr(self, name)
            check_value(f"augment.{name}", value, valid=value >= 0, expected="at least 0")
        valid = 0 <= self.time_share <= 1
        check_value("augment.time_share", self.time_share, valid=valid, expected="a number from 0 to 1")

    def draw(self, lengths: Ints, *, rows: int, generator: np.random.Generator) -> BatchChanges:
        """Draw the masks of each clip."""
        import torch

        clips = len(lengths)
        widths = np.full(clips, self.time_width)
        if self.time_share < 1:
            widths = np.minimum(widths, (lengths * self.time_share).astype(np.int64))
        order = np.argsort(lengths, kind="stable")
        order = order[widths[order] > 0]  # nothing is drawn for the other clips
        numbers_of_rows = 2 * clips * self.frequency_masks if self.frequency_width else 0
        source = torch.Generator().manual_seed(int(generator.integers(2**63)))
        numbers = torch.rand(numbers_of_rows + 2 * len(order) * self.time_masks, generator=source).numpy()
        by_mask = numbers[:numbers_of_rows].reshape(-1, 2, clips)  # (M, 2, B)
        masked_rows = _masks(by_mask[:, 0], by_mask[:, 1], width=self.frequency_width, size=rows)
        # torchaudio draws the numbers of one mask for all clips of one length in one call, the shortest clips first.
        length = lengths[order]
        first, end = (np.searchsorted(length, length, side) for side in ("left", "right"))
        mask = np.arange(self.time_masks)[:, None]
        index = numbers_of_rows + 2 * (first * self.time_masks + (end - first) * mask) + np.arange(len(order)) - first
        masked_frames = np.zeros((clips, self.time_masks, 2), np.int64)
        masked_frames[order] = _masks(numbers[index], numbers[index + end - first], width=widths[order], size=length)
        return replace(BatchChanges.none(lengths), masked_rows=masked_rows, masked_frames=masked_frames)


def _masks(first: Floats, second: Floats, *, width: int | Ints, size: int | Ints) -> Ints:
    """Return the first value of each mask and the first value after it, as torchaudio computes them.

    Args:
        first: (masks, B), uniform random numbers for the widths
        second: (masks, B), uniform random numbers for the positions
        width: exclusive upper limit of the width
        size: number of values of a clip

    Returns:
        (B, masks, 2)

    """
    widths = first * np.float32(width)
    start = (second * (np.float32(size) - widths)).astype(np.int64)
    return np.stack([start, start + widths.astype(np.int64)], axis=-1).swapaxes(0, 1)
