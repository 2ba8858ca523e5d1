"""Explanation of the answer of a model for a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Contribution of each block of a clip to the logit of an emotion; positive where it speaks for the emotion.

    Args:
        method: ``audio``, ``features`` or ``gradients``
        seconds: borders of the blocks of time, (T + 1,)
        rows: names of the bands or feature groups, the lowest first, R of them
        contributions: of each block of time and row, (T, R)
        by_time: of each block of time with all rows together, (T,)
        by_row: of each row over the whole clip, (R,)
        total: of the whole clip
        error: difference between ``total`` and the sum of ``contributions``; None if they need not add up
        picture: what the model was given, for drawing: an array (features, frames) per row

    """

    method: str
    seconds: Doubles
    rows: Sequence[str]
    contributions: Doubles
    by_time: Doubles
    by_row: Doubles
    total: float
    error: float | None
    picture: Sequence[Floats]

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as plain values, without its picture."""
        return {
            "method": self.method,
            "seconds": self.seconds.tolist(),
            "rows": list(self.rows),
            "contributions": self.contributions.tolist(),
            "by_time": self.by_time.tolist(),
            "by_row": self.by_row.tolist(),
            "total": self.total,
            "error": self.error,
        }


def block_borders(length: int, *, seconds: float, block: float) -> npt.NDArray[np.int64]:
    """Return the borders of blocks of time of about equal length, (T + 1,).

    Args:
        length: number of frames of the clip
        seconds: duration of the clip
        block: wanted length of a block, seconds; no block is shorter than a frame

    >>> block_borders(10, seconds=1.0, block=0.25).tolist()
    [0, 2, 5, 8, 10]
    """
    count = max(1, min(length, round(seconds / block)))
    return np.linspace(0, length, count + 1).round().astype(np.int64)
