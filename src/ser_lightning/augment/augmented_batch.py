"""The result of augmenting a batch of training clips."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class AugmentedBatch(NamedTuple):
    """A batch of training clips after masking or mixing.

    Args:
        frames: (B, K', F), zero-padded beyond the end of each clip
        lengths: (B,), number of valid frames of each clip
        partner: (B,), index in the batch of the clip with which each clip is mixed; None without mixing
        share: weight of each clip in its mixture, the rest being the weight of its partner; 1 without mixing

    """

    frames: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]
    partner: npt.NDArray[np.int64] | None
    share: float
