"""Masks over the features of training clips."""

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.altered import Altered
from ser_lightning.errors import InputError


class SpecAugment:
    """Masks over rows and over frames of each clip, drawn anew in every batch.

    Of a frequency mask, the width is uniform from 0 to ``frequency_width`` rows and the place uniform over where it
    fits; of a time mask likewise, within the clip's real frames and over ``time_share`` of them at most. Masks may
    overlap. What is masked becomes the mean of its row over the training set, which a network that standardises makes
    0: the clip's own mean would tell it how loud the row is that it shall not hear. Rows are those of the feature
    matrix: of stacked features (static, delta) a mask covers neighbours in that order. There is no time warping, which
    the paper found to matter least.

    Args:
        frequency_masks: how many over rows
        frequency_width: greatest width, rows
        time_masks: how many over frames
        time_width: greatest width, frames
        time_share: greatest width as a share of the clip's frames

    Raises:
        InputError: a negative number, a share outside [0, 1]

    Source: Park et al. 2019, "SpecAugment", whose policies for 80 rows and clips of about 1200 frames have two masks of
    each kind, up to 27 rows and up to 100 frames.

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
            generator: of random numbers

        """
        frames, (clips, _, rows) = frames.copy(), frames.shape
        of_rows = _draw(self.frequency_masks, np.full(clips, min(self.frequency_width, rows)), rows, generator)
        widest = np.minimum(self.time_width, np.floor(self.time_share * lengths)).astype(np.int64)
        of_frames = _draw(self.time_masks, widest, lengths, generator)
        for clip, length, bands, spans in zip(frames, lengths.tolist(), of_rows, of_frames, strict=True):
            for start, stop in bands:
                clip[:length, start:stop] = mean[start:stop]
            for start, stop in spans:
                clip[start:stop] = mean
        return Altered(frames, lengths, None, 1.0)


def _draw(
    masks: int, widest: npt.NDArray[np.int64], room: npt.NDArray[np.int64] | int, generator: np.random.Generator
) -> list[list[tuple[int, int]]]:
    """Draw where the masks of each clip start and stop; each has its widest (B,) and its room, (B,) or one of all."""
    shape = (masks, len(widest))
    widths = generator.integers(0, np.broadcast_to(widest, shape), endpoint=True)
    starts = generator.integers(0, np.broadcast_to(room, shape) - widths, endpoint=True)
    return [list(zip(s, (s + w).tolist(), strict=True)) for s, w in zip(starts.T, widths.T, strict=True)]
