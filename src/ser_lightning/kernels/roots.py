"""The numbers that a Fourier transform multiplies by."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Roots(NamedTuple):
    """Complex numbers as pairs, and where they lie: finding that out anew would cost more than it should.

    Args:
        values: (n, 2)
        address: of the first

    """

    values: npt.NDArray[Any]
    address: int


@cache
def roots(n: int, kind: type[np.float32 | np.float64]) -> Roots:
    """Return exp(-2 pi i k / n) for k < n, those on the axes exactly."""
    pi = 4 * np.arctan(np.longdouble(1))  # in double precision the angle alone would cost a digit
    angle = -2 * pi * np.arange(n) / n
    values = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    values[np.abs(values) < 1e-15] = 0
    stored = values.astype(kind)
    return Roots(stored, stored.ctypes.data)
