"""Detection of identical recordings and of near duplicates, which differ by a gain, an offset, a codec or slight noise.

Two takes of one sentence by one actor are not near duplicates: no two clips of an actor of RAVDESS correlate by more
than 0.63 (except for a recording that was published twice), whereas a copy with noise at 10 dB still correlates by
0.95.

Not every pair is correlated. At an offset t, the correlation is the sum over frequencies of X(f) Y*(f) exp(2 pi i f t),
and by the Cauchy-Schwarz inequality it is at most the sum over bands of frequency of sqrt(E_X(b) E_Y(b)), where E(b) is
the energy of a band. The bound does not depend on the offset, and it is the dot product of two vectors, the
:func:`signature` of each wave. Only pairs whose bound reaches :data:`SAME` are correlated.

All pairs are compared by the bound of a few wide bands, as a matrix product, so that the time grows with the square of
the number of waves, at about 24 ns a pair. An index would not help: two signatures whose bound is :data:`SAME` are
0.45 apart, unrelated ones of a corpus about 0.8, so that no ball of a tree could be excluded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from ser_lightning.splits.row_file import RowFile

RATE = 4000
"""Sampling rate in Hz of the compared waves: most of the power of speech is below half of it, and codecs keep it."""

SAME = 0.9
"""Lowest correlation of two near duplicates: well below that of copies and well above that of takes."""

BANDS = 4096
"""Number of bands of a signature; of all pairs of RAVDESS, EmoDB and EMOVO, one in a million reaches the bound."""

_COARSE = 768  # wide bands of the first comparison, whose bound is never below that of the narrow bands
_MARGIN = 0.005  # for rounding, and for energies summed over the bins of a discrete transform
_SHORTEST = RATE // 10  # samples; shorter waves would correlate with almost anything
_LONGEST = 30 * RATE  # samples; only this much of a longer wave is compared
_BLOCK = 2048  # signatures that are compared with as many others at a time
_PAIRS = 256  # pairs whose fine bounds are computed at a time
_MANY = 0.01  # share of the pairs from which on the fine bounds of all pairs are computed
_KEPT = 256  # waves kept in memory while pairs are correlated

Wave = npt.NDArray[np.float32]
Signature = npt.NDArray[np.float16]
Signatures = npt.NDArray[np.float16]


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


def signature(wave: Wave) -> Signature | None:
    """Return the square root of the share of the energy in each band of frequency, (:data:`BANDS`,).

    Args:
        wave: (samples,) at :data:`RATE`

    Returns:
        The signature; None if the wave is constant or shorter than 0.1 s, to avoid false matches.

    """
    unit = _unit(wave)
    if unit is None:
        return None
    # Twice as many bins as the wave has samples, so that they determine the energy between two bins.
    bins = BANDS * -(-len(unit) // BANDS)
    power = np.square(np.abs(scipy.fft.rfft(unit, 2 * bins)), dtype=np.float64)
    energy = (power[:-1] + power[1:]).reshape(BANDS, -1).sum(axis=1)
    root_shares: Signature = np.sqrt(energy / energy.sum()).astype(np.float16)
    return root_shares


def near_duplicates(
    names: Sequence[str], signatures: Signatures, load: Callable[[str], Wave]
) -> tuple[tuple[str, str, float], ...]:
    """Find waves that are copies of each other up to a gain, an offset, a codec or slight noise.

    Two waves are near duplicates if the absolute correlation of their first differences, at the best alignment, is at
    least :data:`SAME`. Differencing reduces the weight of hum and of a constant offset. Waves that were shortened, sped
    up or pitch-shifted do not count as near duplicates.

    Args:
        names: names of the waves, which differ
        signatures: :func:`signature` of each wave, (waves, :data:`BANDS`); may be mapped from a file
        load: returns the wave of a name, (samples,) at :data:`RATE`

    Returns:
        The pairs of names and their correlation, sorted; the names of each pair are sorted too.

    """

    @lru_cache(_KEPT)
    def unit(index: int) -> Wave:
        wave = _unit(load(names[index]))
        assert wave is not None  # noqa: S101 - a wave with a signature is neither short nor constant
        return wave

    pairs = []
    for first, second in _likely_pairs(signatures):
        correlation = correlate(unit(first), unit(second))
        if correlation >= SAME:
            first_name, second_name = sorted((names[first], names[second]))
            pairs.append((first_name, second_name, round(correlation, 3)))
    return tuple(sorted(pairs))


def _unit(wave: Wave) -> Wave | None:
    """Return the first difference of a wave, scaled to norm 1, or None if the wave is too short or constant."""
    if len(wave) < _SHORTEST:
        return None
    difference = np.diff(wave[:_LONGEST].astype(np.float64))
    norm = np.linalg.norm(difference)
    return (difference / norm).astype(np.float32) if norm > 0 else None


def _likely_pairs(signatures: Signatures) -> Iterator[tuple[int, int]]:
    """Yield the index pairs whose bound reaches :data:`SAME`: all near duplicates, and few others."""
    starts = range(0, len(signatures), _BLOCK)
    edges = _wide_bands(signatures)
    with RowFile(len(edges), np.float32) as file:
        for start in starts:
            file.append(_merge_bands(_block(signatures, start), edges))
        coarse = file.rows()
        for top in starts:
            block = _block(coarse, top)
            for left in range(top, len(signatures), _BLOCK):
                others = _block(coarse, left)
                bounds = block @ others.T
                rows, columns = np.divmod(np.flatnonzero(bounds >= SAME - _MARGIN), len(others))  # faster than argwhere
                once = rows + top < columns + left
                yield from _refine(signatures, rows[once] + top, columns[once] + left, many=_MANY * bounds.size)


def _block(rows: npt.NDArray[Any], start: int) -> npt.NDArray[np.float32]:
    return np.asarray(rows[start : start + _BLOCK], dtype=np.float32)


def _wide_bands(signatures: Signatures) -> npt.NDArray[np.intp]:
    """Return the first narrow band of each wide band; all wide bands have about the same energy in a sample."""
    sample = signatures[:: max(1, len(signatures) // _BLOCK)].astype(np.float64)
    energy = np.cumsum(np.square(sample).sum(axis=0))
    edges = np.searchsorted(energy, energy[-1] * np.arange(_COARSE) / _COARSE)
    return np.unique(edges)  # a narrow band may have the energy of several wide ones


def _merge_bands(signatures: npt.NDArray[np.float32], edges: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return the signatures (signatures, wide bands) of wider bands."""
    merged: npt.NDArray[np.float32] = np.sqrt(np.add.reduceat(np.square(signatures), edges, axis=1))
    return merged


def _refine(
    signatures: Signatures, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], *, many: float
) -> Iterator[tuple[int, int]]:
    """Yield the pairs of ``rows`` and ``columns`` whose bound of all bands reaches :data:`SAME`.

    From ``many`` pairs of two blocks on, one matrix product takes less time than a product for each pair.
    """
    if len(rows) > many:
        top, left = rows.min(), columns.min()
        first, second = (signatures[index.min() : index.max() + 1].astype(np.float32) for index in (rows, columns))
        likely = (first @ second.T)[rows - top, columns - left] >= SAME - _MARGIN
        yield from zip(rows[likely].tolist(), columns[likely].tolist(), strict=True)
        return
    for start in range(0, len(rows), _PAIRS):
        i, j = rows[start : start + _PAIRS], columns[start : start + _PAIRS]
        first, second = (signatures[index].astype(np.float32) for index in (i, j))
        likely = np.einsum("pb,pb->p", first, second) >= SAME - _MARGIN
        yield from zip(i[likely].tolist(), j[likely].tolist(), strict=True)


def correlate(first: Wave, second: Wave) -> float:
    """Return the maximum absolute correlation of two waves of norm 1 over all offsets."""
    size = int(scipy.fft.next_fast_len(len(first) + len(second), real=True))
    both = scipy.fft.irfft(scipy.fft.rfft(first, size) * np.conj(scipy.fft.rfft(second, size)), size)
    return float(np.abs(both).max())
