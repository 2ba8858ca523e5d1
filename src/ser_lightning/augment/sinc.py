"""Resampling with a windowed sinc filter."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.pitch import LANES, resample_with_filters

Floats = npt.NDArray[np.float32]

# Values of torchaudio.functional.resample: zero crossings per side, and the cutoff relative to the lower Nyquist rate.
CROSSINGS = 6
ROLLOFF = 0.99
PLACES = 512  # filters per sample interval; linear interpolation between them is exact to -115 dB


class Filters(NamedTuple):
    """The filters for equally spaced positions between two samples.

    Args:
        values: (PLACES + 1, taps), for the positions from one sample to the next
        before: number of samples before the position that a filter covers

    """

    values: Floats
    before: int


@lru_cache(maxsize=16)
def _filters(step: int, every: int) -> Filters:
    """Return the filters that make ``every`` new samples out of ``step`` old ones."""
    cutoff = ROLLOFF * min(step, every) / step  # relative to the old Nyquist rate
    reach = math.ceil(CROSSINGS / cutoff)
    taps = -(-2 * reach // LANES) * LANES
    between = np.arange(PLACES + 1)[:, None] / PLACES  # (PLACES + 1, 1), samples
    crossings = cutoff * (np.arange(1 - reach, 1 - reach + taps) - between)  # (PLACES + 1, taps)
    window = np.where(np.abs(crossings) < CROSSINGS, np.cos(np.pi / 2 / CROSSINGS * crossings) ** 2, 0)
    return Filters((cutoff * window * np.sinc(crossings)).astype(np.float32), reach - 1)


def resample(wave: Floats, *, old: int, new: int) -> Floats:
    """Resample a signal with filters interpolated from a table.

    The result is that of ``torchaudio.functional.resample``, which builds a filter for each position that a new sample
    can have. For 3 semitones these are 16,000 filters of 1.2 s each, in which only 15 values are nonzero.

    Args:
        wave: (samples,)
        old: rate of ``wave``, Hz
        new: rate of the result, Hz

    Returns:
        (ceil(samples * new / old),)

    Source: torchaudio 2.11; Smith & Gossett 1984, A flexible sampling-rate conversion method

    """
    if old == new:
        return wave
    common = math.gcd(old, new)
    step, every = old // common, new // common
    values, before = _filters(step, every)
    # (samples,) -> (before + samples + taps,)
    padded = np.concatenate((np.zeros(before, np.float32), wave, np.zeros(values.shape[1], np.float32)))
    return resample_with_filters(padded, values, step=step, every=every, samples=-(-len(wave) * new // old))
