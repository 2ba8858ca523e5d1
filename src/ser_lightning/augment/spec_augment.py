"""SpecAugment: masks over the features of training clips."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """Mask random feature rows and frames of each clip, newly drawn for each batch by torchaudio.

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

    def augment_batch(
        self,
        frames: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        *,
        mean: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> AugmentedBatch:
        """Return the masked batch; ``frames`` is not modified; see ``ser_lightning.data.augmentation.BatchAugment``.

        The generator seeds torchaudio's random numbers; the global random state of torch is restored afterward.
        """
        # The masks are drawn over ones instead of the features, because torchaudio fills all masks with one number, not
        # with the mean of each row, and does not know the length of each clip.
        import torch
        from torchaudio.functional import mask_along_axis_iid

        clips, longest, rows = frames.shape
        kept_rows, kept_frames = torch.ones(clips, rows, 1), torch.ones(clips, 1, longest)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            for _ in range(self.frequency_masks):
                kept_rows = mask_along_axis_iid(kept_rows, self.frequency_width, 0.0, axis=1)
            for length in np.unique(lengths).tolist():
                clips_of_length = torch.from_numpy(np.flatnonzero(lengths == length))
                part = torch.ones(len(clips_of_length), 1, length)
                for _ in range(self.time_masks):
                    part = mask_along_axis_iid(part, self.time_width, 0.0, axis=2, p=self.time_share)
                kept_frames[clips_of_length, :, :length] = part
        masked_rows = kept_rows.numpy()[:, None, :, 0] == 0  # (B, 1, F)
        masked_frames = kept_frames.numpy()[:, 0, :, None] == 0  # (B, K, 1)
        real = (np.arange(longest) < lengths[:, None])[:, :, None]  # (B, K, 1)
        augmented = frames.copy()
        np.copyto(augmented, mean, where=(masked_rows & real) | masked_frames)
        return AugmentedBatch(augmented, lengths, None, 1.0)
