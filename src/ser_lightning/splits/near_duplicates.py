"""Detection of identical recordings and of near duplicates, which differ by a gain, an offset, a codec or slight noise.

Two takes of one sentence by one actor are not near duplicates: no two clips of an actor of RAVDESS correlate by more
than 0.63 (except for a recording that was published twice), whereas a copy with noise at 10 dB still correlates by
0.95.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

RATE = 4000
"""Sampling rate in Hz of the compared waves: most of the power of speech is below half of it, and codecs keep it."""

SAME = 0.9
"""Lowest correlation of two near duplicates: well below that of copies and well above that of takes."""

_SHORTEST = RATE // 10  # samples; shorter waves would correlate with almost anything
_LONGEST = 30 * RATE  # samples; only this much of a longer wave is compared
_BLOCK = 1 << 25  # float32 values in memory at a time: 128 MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Content of the audio files of a corpus.

    Args:
        samples: digest of the decoded samples, by the digest of the file's bytes
        near: pairs of sample digests that are near duplicates, and their correlation
        unread: the reason why a file could not be read, by the digest of its bytes

    """

    samples: Mapping[str, str]
    near: tuple[tuple[str, str, float], ...]
    unread: Mapping[str, str]


def near_duplicates(waves: Mapping[str, npt.NDArray[np.float32]]) -> tuple[tuple[str, str, float], ...]:
    """Find waves that are copies of each other up to a gain, an offset, a codec or slight noise.

    Two waves are near duplicates if the absolute correlation of their first differences, at the best alignment, is at
    least :data:`SAME`. Differencing reduces the weight of hum and of a constant offset.

    Waves that were shortened, sped up or pitch-shifted do not count as near duplicates. Waves shorter than 0.1 s are
    never reported, to avoid false matches.

    Args:
        waves: waves (samples,) at :data:`RATE`, by name

    Returns:
        The pairs of names and their correlation, sorted; the names of each pair are sorted too.

    """
    units = {name: unit for name in sorted(waves) if (unit := _unit(waves[name])) is not None}
    names = list(units)
    pairs = []
    for first, second in _likely_pairs(list(units.values())):
        correlation = correlate(units[names[first]], units[names[second]])
        if correlation >= SAME:
            pairs.append((names[first], names[second], round(correlation, 3)))
    return tuple(sorted(pairs))


def _unit(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Return the first difference of a wave, scaled to norm 1, or None if the wave is too short or constant."""
    if len(wave) < _SHORTEST:
        return None
    difference = np.diff(wave[:_LONGEST].astype(np.float64))
    norm = np.linalg.norm(difference)
    return (difference / norm).astype(np.float32) if norm > 0 else None


def _likely_pairs(units: list[npt.NDArray[np.float32]]) -> Iterator[tuple[int, int]]:
    """Yield the index pairs of candidates: all near duplicates, and few others.

    At an offset t, the correlation is the sum over frequencies of X(f) Y*(f) exp(2 pi i f t), and is at most the sum of
    abs(X(f)) abs(Y(f)). This bound does not depend on the offset, and one matrix product computes it for all pairs.
    """
    size = _padded(2 * max(map(len, units), default=1))
    step = max(1, _BLOCK // size)
    for top in range(0, len(units), step):
        rows = _spectra(units[top : top + step], size)
        for left in range(top, len(units), step):
            columns = rows if left == top else _spectra(units[left : left + step], size)
            bound = rows @ columns.T
            for i, j in np.argwhere(bound >= SAME - 1e-3).tolist():  # with a margin for rounding
                if top + i < left + j:
                    yield top + i, left + j


def _spectra(units: list[npt.NDArray[np.float32]], size: int) -> npt.NDArray[np.float32]:
    """Return the magnitude spectrum of each wave, scaled to norm 1, (waves, 1 + size // 2)."""
    spectra = np.empty((len(units), 1 + size // 2), np.float32)
    for row, unit in zip(spectra, units, strict=True):
        magnitude = np.abs(scipy.fft.rfft(unit, size))
        row[:] = magnitude / np.linalg.norm(magnitude)
    return spectra


def correlate(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the maximum absolute correlation of two waves of norm 1 over all offsets."""
    size = _padded(len(one) + len(other))
    both = scipy.fft.irfft(scipy.fft.rfft(one, size) * np.conj(scipy.fft.rfft(other, size)), size)
    return float(np.abs(both).max())


def _padded(length: int) -> int:
    return int(scipy.fft.next_fast_len(length, real=True))
