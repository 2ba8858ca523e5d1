"""Recordings that are the same, and recordings that are the same but for a gain, an offset, a codec or a little noise.

Two takes of one sentence by one actor are not the same: no two clips of an actor of RAVDESS correlate by more than 0.63
(but for the recording that was published twice), where a copy with noise at 10 dB still has 0.95.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

RATE = 4000
"""Hz of the waves that are compared: most of the power of speech is below its half, and codecs keep it."""

SAME = 0.9
"""Least correlation of two near duplicates: far from what is measured of copies and of takes alike."""

_SHORTEST = RATE // 10  # samples: what is shorter would fit to almost anything
_LONGEST = 30 * RATE  # samples: what is longer is compared by its beginning
_BLOCK = 1 << 25  # numbers held at a time: 128 MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What the audio files of a corpus contain.

    Args:
        samples: digest of the decoded samples by digest of the file's bytes
        near: pairs of sample digests that are near duplicates, and their correlation
        unread: why a file could not be read, by digest of its bytes

    """

    samples: Mapping[str, str]
    near: tuple[tuple[str, str, float], ...]
    unread: Mapping[str, str]


def near_duplicates(waves: Mapping[str, npt.NDArray[np.float32]]) -> tuple[tuple[str, str, float], ...]:
    """Find the waves that are copies of each other but for a gain, an offset, a codec or a little noise.

    Two waves are near duplicates if their first differences, laid upon each other where they fit best, correlate by
    :data:`SAME` or more, whatever the sign. The difference gives hum and a constant little weight.

    What is cut short, sped up or pitched is another wave; so is, to be safe, all that is shorter than 0.1 s.

    Args:
        waves: (samples,) at :data:`RATE` by name

    Returns:
        The pairs, each and all in the order of the names, and their correlation.

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
    """Return the first difference at norm 1; None of what cannot be compared."""
    if len(wave) < _SHORTEST:
        return None
    difference = np.diff(wave[:_LONGEST].astype(np.float64))
    norm = np.linalg.norm(difference)
    return (difference / norm).astype(np.float32) if norm > 0 else None


def _likely_pairs(units: list[npt.NDArray[np.float32]]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that may be near duplicates, by position, and few others.

    At any offset t the correlation is the sum of X(f) Y*(f) exp(2 pi i f t) over the frequencies, and so at most the
    sum of abs(X(f)) abs(Y(f)). That bound knows of no offset, and one product of matrices gives it for all pairs.
    """
    size = _padded(2 * max(map(len, units), default=1))
    step = max(1, _BLOCK // size)
    for top in range(0, len(units), step):
        rows = _spectra(units[top : top + step], size)
        for left in range(top, len(units), step):
            columns = rows if left == top else _spectra(units[left : left + step], size)
            bound = rows @ columns.T
            for i, j in np.argwhere(bound >= SAME - 1e-3).tolist():  # less what rounding may take
                if top + i < left + j:
                    yield top + i, left + j


def _spectra(units: list[npt.NDArray[np.float32]], size: int) -> npt.NDArray[np.float32]:
    """Return the magnitude of the spectrum of each wave, (waves, 1 + size // 2), scaled to norm 1."""
    spectra = np.empty((len(units), 1 + size // 2), np.float32)
    for row, unit in zip(spectra, units, strict=True):
        magnitude = np.abs(scipy.fft.rfft(unit, size))
        row[:] = magnitude / np.linalg.norm(magnitude)
    return spectra


def correlate(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the greatest correlation, without its sign, of two waves of norm 1 over all offsets."""
    size = _padded(len(one) + len(other))
    both = scipy.fft.irfft(scipy.fft.rfft(one, size) * np.conj(scipy.fft.rfft(other, size)), size)
    return float(np.abs(both).max())


def _padded(length: int) -> int:
    return int(scipy.fft.next_fast_len(length, real=True))
