"""Masks over the features of training clips."""

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.altered import Altered
from ser_lightning.errors import InputError


class SpecAugment:
    """Masks over rows and over frames of each clip, drawn anew in every batch by torchaudio.

    The width of a frequency mask is below ``frequency_width`` rows; that of a time mask is below ``time_width`` frames
    and below ``time_share`` of the clip's real frames, within which it lies. Widths are uniform, and so are places,
    from 0 up to where a mask would end at the last row or frame, exclusive. Masks may overlap. What is masked becomes
    the mean of its row over the training set, 0 after standardization: the clip's own mean would reveal how loud the
    masked row is. Rows are those of the feature matrix: of stacked features (static, delta) a mask covers neighbours
    in that order. There is no time warping, which the paper found to matter least.

    Args:
        frequency_masks: how many over rows
        frequency_width: limit of their width, rows
        time_masks: how many over frames
        time_width: limit of their width, frames
        time_share: limit of their width as a share of the clip's frames

    Raises:
        InputError: a negative number, a share outside [0, 1]

    Source: ``torchaudio.functional.mask_along_axis_iid``; Park et al. 2019, "SpecAugment", whose policies for 80 rows
    and clips of about 1200 frames have two masks of each kind, with limits of 27 rows and 100 frames.

    """

    names: tuple[str, ...] = ()

    def __init__(
        self, *, frequency_masks: int, frequency_width: int, time_masks: int, time_width: int, time_share: float
    ) -> None:
        for name, value in (
            ("frequency_masks", frequency_masks),
            ("frequency_width", frequency_width),
            ("time_masks", time_masks),
            ("time_width", time_width),
        ):
            if value < 0:
                raise InputError(f"augment.{name} is {value}; expected at least 0")
        if not 0 <= time_share <= 1:
            raise InputError(f"augment.time_share is {time_share}; expected a number from 0 to 1")
        self.frequency_masks, self.frequency_width = frequency_masks, frequency_width
        self.time_masks, self.time_width, self.time_share = time_masks, time_width, time_share

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make no copy of a waveform."""
        return {}

    def alter(
        self,
        frames: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        *,
        mean: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> Altered:
        """Mask a batch, which is left alone.

        Args:
            frames: (B, K, F), zero beyond each clip's end
            lengths: (B,), frames of each clip that are real
            mean: (F,), of each row over the training set
            generator: seeds torchaudio's random numbers; those of torch are left as they are

        """
        # The masks are drawn over ones instead of the features: torchaudio fills a mask with one number, not with the
        # mean of each row, and knows no clip's length.
        import torch
        from torchaudio.functional import mask_along_axis_iid

        clips, longest, rows = frames.shape
        kept_rows, kept_frames = torch.ones(clips, rows, 1), torch.ones(clips, 1, longest)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            for _ in range(self.frequency_masks):
                kept_rows = mask_along_axis_iid(kept_rows, self.frequency_width, 0.0, axis=1)
            for length in np.unique(lengths).tolist():
                of_length = torch.from_numpy(np.flatnonzero(lengths == length))
                part = torch.ones(len(of_length), 1, length)
                for _ in range(self.time_masks):
                    part = mask_along_axis_iid(part, self.time_width, 0.0, axis=2, p=self.time_share)
                kept_frames[of_length, :, :length] = part
        masked_rows = kept_rows.numpy()[:, None, :, 0] == 0  # (B, 1, F)
        masked_frames = kept_frames.numpy()[:, 0, :, None] == 0  # (B, K, 1)
        real = (np.arange(longest) < lengths[:, None])[:, :, None]  # (B, K, 1)
        altered = frames.copy()
        np.copyto(altered, mean, where=(masked_rows & real) | masked_frames)
        return Altered(altered, lengths, None, 1.0)
