"""The roots of unity of the Fourier transforms."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Roots(NamedTuple):
    """Roots of unity and their address, which is stored because computing it for each call would be slow.

    Args:
        values: (n, 2), real and imaginary parts
        address: address of ``values``

    """

    values: npt.NDArray[Any]
    address: int


@cache
def roots(n: int, kind: type[np.float32 | np.float64]) -> Roots:
    """Return exp(-2 pi i k / n) for 0 <= k < n, with exact zeros for those on the axes."""
    pi = 4 * np.arctan(np.longdouble(1))  # in double precision, the angle alone would lose a digit
    angle = -2 * pi * np.arange(n) / n
    values = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    values[np.abs(values) < 1e-15] = 0
    stored = values.astype(kind)
    return Roots(stored, stored.ctypes.data)
