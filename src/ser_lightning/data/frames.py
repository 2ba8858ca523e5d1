"""Frames of a feature cache, in one file or in several."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt


class JoinedFrames:
    """Frames of several files, sliced as if they were one array (R, F); no slice crosses two files.

    Args:
        parts: frames (R_i, F) of each file

    """

    def __init__(self, parts: Sequence[npt.NDArray[np.float32]]) -> None:
        self.parts = parts
        self.starts = list(accumulate((part.shape[0] for part in parts), initial=0))
        self.shape = (self.starts[-1], parts[0].shape[1])
        self.dtype, self.itemsize = parts[0].dtype, parts[0].itemsize

    def __getitem__(self, rows: slice) -> npt.NDArray[np.float32]:
        """Return the frames ``start:stop`` of one clip."""
        part = bisect_right(self.starts, rows.start) - 1
        return self.parts[part][rows.start - self.starts[part] : rows.stop - self.starts[part]]


Frames = npt.NDArray[np.float32] | JoinedFrames
