"""The result of augmenting a batch of training clips."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


class AugmentedBatch(NamedTuple):
    """A batch of training clips after augmentation.

    Args:
        features: (B, K', F), zero-padded beyond the end of each clip
        lengths: (B,), number of valid frames of each clip
        partners: (B,), index in the batch of the clip with which each clip is mixed; None without mixing
        shares: (B,), weight of each clip in its mixture, the rest being the weight of its partner

    """

    features: "Tensor"
    lengths: npt.NDArray[np.int64]
    partners: npt.NDArray[np.int64] | None
    shares: npt.NDArray[np.float64]
