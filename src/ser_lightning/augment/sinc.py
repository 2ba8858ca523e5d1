"""Resampling by a windowed sinc."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.pitch import LANES, filtered

Floats = npt.NDArray[np.float32]

# torchaudio.functional.resample: zero crossings on either side, and the cut-off as a part of the lower half rate.
CROSSINGS = 6
ROLLOFF = 0.99
PLACES = 512  # between two samples for which there is a filter; between these a straight line is right to -115 dB


class Filters(NamedTuple):
    """One filter for each place between two samples.

    Args:
        values: (PLACES + 1, taps), from one sample to the next
        before: samples before the place that a filter takes

    """

    values: Floats
    before: int


@lru_cache(maxsize=16)
def _filters(step: int, every: int) -> Filters:
    """Return the filters for ``every`` new samples to ``step`` old ones."""
    cutoff = ROLLOFF * min(step, every) / step  # of half the old rate
    reach = math.ceil(CROSSINGS / cutoff)
    taps = -(-2 * reach // LANES) * LANES
    between = np.arange(PLACES + 1)[:, None] / PLACES  # (PLACES + 1, 1), samples
    crossings = cutoff * (np.arange(1 - reach, 1 - reach + taps) - between)  # (PLACES + 1, taps)
    window = np.where(np.abs(crossings) < CROSSINGS, np.cos(np.pi / 2 / CROSSINGS * crossings) ** 2, 0)
    return Filters((cutoff * window * np.sinc(crossings)).astype(np.float32), reach - 1)


def resample(wave: Floats, *, old: int, new: int) -> Floats:
    """Change the rate of a signal.

    What ``torchaudio.functional.resample`` computes with a filter for each place that a new sample can have, which for
    3 semitones are 16,000 of 1.2 s each, zeros but for 15 values.

    Args:
        wave: (samples,)
        old: its rate, Hz
        new: the rate wanted, Hz

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
    return filtered(padded, values, step=step, every=every, samples=-(-len(wave) * new // old))
