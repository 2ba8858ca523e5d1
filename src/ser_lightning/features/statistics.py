"""Statistics of features over time."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features.checks import check_choice

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def _moment(frames: Doubles, order: int) -> Doubles:
    """Compute the standardized central moment of each feature, (K, F) -> (F,); 0 for constant features."""
    deviations = frames - frames.mean(axis=0)
    scale = np.sqrt(np.mean(np.square(deviations), axis=0))
    constant = np.ptp(frames, axis=0) == 0
    scale[constant] = 1
    moment: Doubles = np.mean((deviations / scale) ** order, axis=0)
    return np.where(constant, 0.0, moment)


def _interquartile_range(frames: Doubles) -> Doubles:
    lower, upper = np.percentile(frames, (25, 75), axis=0)
    return np.asarray(upper - lower, np.float64)


# Each maps frames (K, F) -> (F,). Deviation, skewness and excess kurtosis are not corrected for bias.
FUNCTIONALS: dict[str, Callable[[Doubles], Doubles]] = {
    "mean": lambda frames: np.mean(frames, axis=0),
    "std": lambda frames: np.std(frames, axis=0),
    "min": lambda frames: np.min(frames, axis=0),
    "max": lambda frames: np.max(frames, axis=0),
    "median": lambda frames: np.median(frames, axis=0),
    "iqr": _interquartile_range,
    "skewness": lambda frames: _moment(frames, 3),
    "kurtosis": lambda frames: _moment(frames, 4) - 3 * (np.ptp(frames, axis=0) > 0),
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


def functional_names(names: Sequence[str], functionals: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the values that :func:`summarize` returns.

    >>> functional_names(("zcr", "rms"), ("mean", "std"))
    ('zcr_mean', 'rms_mean', 'zcr_std', 'rms_std')
    """
    return tuple(f"{name}_{functional}" for functional in functionals for name in names)


def summarize(frames: Floats, functionals: Sequence[str]) -> Floats:
    """Compute statistics of features over time: the first statistic of all features, then the next one.

    Args:
        frames: (K, F), K at least 1
        functionals: names of the statistics

    Returns:
        (len(functionals) * F,)

    """
    exact = frames.astype(np.float64)
    return np.concatenate([FUNCTIONALS[functional](exact) for functional in functionals]).astype(np.float32)
