"""The open sound of a file, a stream or a waveform."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound that is read in blocks.

    Args:
        rate: sampling rate, Hz
        channels: number of channels
        blocks: the samples, as blocks (n, channels) with full scale 1
        damage: reasons why the sound is not complete, known after the last block

    """

    rate: int
    channels: int
    blocks: Iterator[npt.NDArray[np.float32]]
    damage: list[str] = field(default_factory=list)
