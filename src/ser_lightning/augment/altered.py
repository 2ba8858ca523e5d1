"""A batch of training clips, altered."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Altered(NamedTuple):
    """What comes of a batch.

    Args:
        frames: (B, K', F), zero beyond each clip's end
        lengths: (B,), frames of each clip that are real
        partner: (B,), place in the batch of the clip that each is mixed with; None if none is mixed
        share: how much of each is its own, the rest is its partner's; 1 if none is mixed

    """

    frames: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]
    partner: npt.NDArray[np.int64] | None
    share: float
