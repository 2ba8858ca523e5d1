"""Means, paired differences with intervals, effect sizes, and the number of runs needed to detect a difference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
POWER = 0.80
Pair = int | tuple[int, str]  # a seed, or a seed and a fold
P = TypeVar("P", bound=Pair)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Mean and spread of one number over runs.

    Args:
        n: number of runs
        mean: arithmetic mean
        sd: sample standard deviation (divisor n - 1); ``None`` for a single run

    """

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """Paired differences between two arms and the interval of their mean.

    Args:
        pairs: seeds, or seeds with folds, that both arms have, ascending
        differences: arm minus baseline, in the order of ``pairs``
        mean: mean difference; ``None`` without a pair
        sd: sample standard deviation of the differences; ``None`` below two pairs
        interval: 95 % Student-t interval of the mean; ``None`` if it cannot be estimated
        p: two-sided p-value of the paired t-test; ``None`` without an interval
        why_no_interval: why there is no interval; empty if there is one

    """

    pairs: tuple[Pair, ...]
    differences: tuple[float, ...]
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    p: float | None
    why_no_interval: str

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each pair."""
        return tuple(pair if isinstance(pair, int) else pair[0] for pair in self.pairs)

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval that does not contain zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def summarize(values: Sequence[float]) -> Summary:
    """Compute mean and sample standard deviation.

    Args:
        values: one number per run

    Raises:
        ValueError: there are no values

    >>> summarize([1.0, 2.0, 4.5])
    Summary(n=3, mean=2.5, sd=1.8027756377319946)

    """
    if not values:
        raise ValueError("Expected at least one value but got none.")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(n=len(values), mean=float(np.mean(values)), sd=sd)


def paired_difference(arm: Mapping[P, float], baseline: Mapping[P, float]) -> PairedDifference:
    """Compute the difference of two arms over their shared pairs, with its 95 % Student-t interval.

    Args:
        arm: value of each seed, or of each seed and fold
        baseline: values of the baseline, in the same unit

    >>> found = paired_difference({0: 62.0, 1: 64.0, 2: 63.0}, {0: 61.0, 1: 61.0, 2: 61.0})
    >>> found.mean, [round(edge, 2) for edge in found.interval], round(found.p, 3)
    (2.0, [-0.48, 4.48], 0.074)

    """
    pairs = tuple(sorted(arm.keys() & baseline.keys()))
    differences = tuple(arm[pair] - baseline[pair] for pair in pairs)
    if not differences:
        return PairedDifference(
            pairs=(),
            differences=(),
            mean=None,
            sd=None,
            interval=None,
            p=None,
            why_no_interval="the arms share no seed",
        )
    summary = summarize(differences)
    interval, p, why = None, None, ""
    if summary.sd is None:
        why = "one pair gives no interval"
    elif np.allclose(differences, differences[0], rtol=0, atol=1e-9):
        # An interval of zero width would claim certainty, but ties happen by chance: scores come in steps of 1/N.
        why = "all differences are equal, so their spread cannot be estimated"
    else:
        error = summary.sd / math.sqrt(summary.n)
        half = stats.t.ppf((1 + CONFIDENCE) / 2, summary.n - 1) * error
        interval = (float(summary.mean - half), float(summary.mean + half))
        p = float(2 * stats.t.sf(abs(summary.mean) / error, summary.n - 1))
    return PairedDifference(
        pairs=pairs,
        differences=differences,
        mean=summary.mean,
        sd=summary.sd,
        interval=interval,
        p=p,
        why_no_interval=why,
    )


def cohen_d(differences: Sequence[float]) -> float | None:
    """Compute the paired Cohen's d (d_z): the mean difference divided by the standard deviation of the differences.

    Return ``None`` with fewer than two differences or if all are equal.

    >>> cohen_d([1.0, 2.0, 3.0])
    2.0

    Source: Cohen 1988, Statistical Power Analysis, section 2.3.4.
    """
    if len(differences) < 2 or np.ptp(differences) < 1e-9:
        return None
    return float(np.mean(differences) / np.std(differences, ddof=1))


def cliff_delta(arm: Sequence[float], baseline: Sequence[float]) -> float | None:
    """Compute Cliff's delta: how often a run of the arm beats a run of the baseline, minus how often it is below.

    The value ranges from -1 to 1 and is taken over all combinations of runs, not only the pairs. Return ``None`` if an
    arm has no runs.

    >>> cliff_delta([3.0, 4.0], [1.0, 3.0])
    0.75

    Source: Cliff 1993, Psychological Bulletin 114, 494-509.
    """
    if not arm or not baseline:
        return None
    # Rounding makes scores of equal counts exactly equal despite floating-point error.
    couples = np.sign(np.subtract.outer(np.round(arm, 9), np.round(baseline, 9)))
    return float(couples.mean())


def pairs_needed(sd: float, difference: float) -> int:
    """Compute the number of pairs needed to detect a true difference with 80 % power.

    The power is that of the two-sided paired t-test at 5 %, from the noncentral F distribution.

    Args:
        sd: standard deviation of the differences between the arms, over pairs
        difference: the true mean difference, in the same unit

    Raises:
        ValueError: the standard deviation or the difference is not positive

    >>> pairs_needed(2.0, 1.0)
    34

    """
    if not (sd > 0 and difference > 0):
        raise ValueError(f"Expected a spread and a difference above zero but got {sd} and {difference}.")
    low, high = 2, 4
    while paired_power(high, sd, difference) < POWER:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(middle, sd, difference) >= POWER else (middle + 1, high)
    return high


def paired_power(pairs: int, sd: float, difference: float) -> float:
    """Compute the probability that the two-sided paired t-test at 5 % detects a true difference.

    >>> round(paired_power(34, 2.0, 1.0), 4)
    0.8078

    """
    edge = stats.t.ppf((1 + CONFIDENCE) / 2, pairs - 1)
    # The squared noncentral t is noncentral F; SciPy's own noncentral t gives NaN for few pairs and a large effect.
    return float(stats.ncf.sf(edge**2, 1, pairs - 1, pairs * (difference / sd) ** 2))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Compute the 95 % score interval of a proportion (Wilson 1927).

    Args:
        successes: number of correct utterances
        trials: number of utterances

    Returns:
        lower and upper bound, as fractions

    Raises:
        ValueError: there are no trials, or the successes are not between 0 and ``trials``

    >>> [round(100 * edge, 1) for edge in wilson(234, 360)]
    [59.9, 69.7]

    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"Expected 0 to N successes of N >= 1 trials but got {successes} of {trials}.")
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    share = successes / trials
    centre = share + z**2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
