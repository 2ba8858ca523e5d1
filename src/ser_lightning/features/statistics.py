"""Statistics of feature rows over time."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features.values import check_choice

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def _moment(rows: Doubles, order: int) -> Doubles:
    """Compute the standardized central moment of each row, (R, K) -> (R,); 0 for constant rows."""
    deviations = rows - rows.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.mean(np.square(deviations), axis=1, keepdims=True))
    constant = np.ptp(rows, axis=1) == 0
    scale[constant] = 1
    moment: Doubles = np.mean((deviations / scale) ** order, axis=1)
    return np.where(constant, 0.0, moment)


def _interquartile_range(rows: Doubles) -> Doubles:
    lower, upper = np.percentile(rows, (25, 75), axis=1)
    return np.asarray(upper - lower, np.float64)


# Each maps rows (R, K) -> (R,). Deviation, skewness and excess kurtosis are not corrected for bias.
FUNCTIONALS: dict[str, Callable[[Doubles], Doubles]] = {
    "mean": lambda rows: np.mean(rows, axis=1),
    "std": lambda rows: np.std(rows, axis=1),
    "min": lambda rows: np.min(rows, axis=1),
    "max": lambda rows: np.max(rows, axis=1),
    "median": lambda rows: np.median(rows, axis=1),
    "iqr": _interquartile_range,
    "skewness": lambda rows: _moment(rows, 3),
    "kurtosis": lambda rows: _moment(rows, 4) - 3 * (np.ptp(rows, axis=1) > 0),
}


def check_functionals(functionals: Sequence[str]) -> None:
    """Check the names of statistics.

    Raises:
        InputError: the list is empty, or a name is repeated or unknown

    """
    if not functionals or len(set(functionals)) < len(functionals):
        raise InputError(
            f"features.functionals is {list(functionals)}; expected one or more, each once, of {', '.join(FUNCTIONALS)}"
        )
    for functional in functionals:
        check_choice(tuple(FUNCTIONALS), functionals=functional)


def functional_names(rows: Sequence[str], functionals: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the values that :func:`summarize` returns.

    >>> functional_names(("zcr", "rms"), ("mean", "std"))
    ('zcr_mean', 'rms_mean', 'zcr_std', 'rms_std')
    """
    return tuple(f"{row}_{functional}" for functional in functionals for row in rows)


def summarize(rows: Floats, functionals: Sequence[str]) -> Floats:
    """Compute statistics of rows over time: the first statistic of all rows, then the next one.

    Args:
        rows: (R, K), K at least 1
        functionals: names of the statistics

    Returns:
        (len(functionals) * R,)

    """
    exact = rows.astype(np.float64)
    return np.concatenate([FUNCTIONALS[functional](exact) for functional in functionals]).astype(np.float32)
