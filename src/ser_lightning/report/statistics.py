"""Means, paired differences with intervals, effect sizes, significance tests and power.

Distributions and tests are those of SciPy and statsmodels, with two exceptions. The permutation test is ours because
SciPy's draws other random patterns beyond 16 pairs, which would change published p-values. The power of the paired
t-test is ours because statsmodels' does not converge for a large effect.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

CONFIDENCE = 0.95
POWER = 0.80
EXACT_PAIRS = 16  # up to here all 2^16 sign patterns are enumerated; beyond, as many random patterns are drawn
SEED = 0
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
        """True if there is an interval and it does not contain zero."""
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


def t_interval(summary: Summary) -> tuple[float, float] | None:
    """Compute the 95 % Student-t interval of a mean; ``None`` without a spread.

    >>> [round(edge, 2) for edge in t_interval(summarize([1.0, 2.0, 4.5]))]
    [-1.98, 6.98]

    """
    if summary.sd is None:
        return None
    half = stats.t.ppf((1 + CONFIDENCE) / 2, summary.n - 1) * summary.sd / math.sqrt(summary.n)
    return float(summary.mean - half), float(summary.mean + half)


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
    summary = summarize(differences) if differences else Summary(n=0, mean=math.nan, sd=None)
    interval, p, why = None, None, ""
    if not differences:
        why = "the arms share no seed"
    elif summary.sd is None:
        why = "one pair gives no interval"
    elif np.allclose(differences, differences[0], rtol=0, atol=1e-9):
        # An interval of zero width would claim certainty, but ties happen by chance: scores come in steps of 1/N.
        why = "all differences are equal, so their spread cannot be estimated"
    else:
        error = summary.sd / math.sqrt(summary.n)
        interval = t_interval(summary)
        p = float(2 * stats.t.sf(abs(summary.mean) / error, summary.n - 1))
    return PairedDifference(
        pairs=pairs,
        differences=differences,
        mean=summary.mean if differences else None,
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


def permutation_p(differences: Sequence[float]) -> float | None:
    """Compute the two-sided p-value of the paired permutation test, which swaps the arms within pairs.

    Exact up to 16 pairs; beyond, estimated from 65,536 seeded draws that include the observed arrangement. Return
    ``None`` without a pair.

    >>> permutation_p([1.0, 2.0, 3.0])  # of 8 arrangements, 2 are as far from zero
    0.25

    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    # Rounding makes differences of equal counts exactly equal despite floating-point error.
    values = np.round(np.asarray(differences, float), 9)
    if not values.size:
        return None
    if values.size <= EXACT_PAIRS:
        patterns = np.arange(2**values.size)[:, None] >> np.arange(values.size)
        signs = 1 - 2 * (patterns & 1)
    else:
        signs = np.random.default_rng(SEED).choice((-1, 1), (2**EXACT_PAIRS, values.size))
        signs[0] = 1
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= np.abs(values.sum()) - 1e-9))


def wilcoxon_p(differences: Sequence[float]) -> float | None:
    """Compute the two-sided p-value of Wilcoxon's signed-rank test; zeros are dropped and ties share their mean rank.

    The distribution is that of :func:`permutation_p` on the signed ranks, so that it is exact with ties too (up to 16
    pairs). Return ``None`` without a pair, and 1 if no pair differs.

    >>> wilcoxon_p([0.0, 2.0, 3.0, 5.0])
    0.25

    Source: Wilcoxon 1945, Biometrics Bulletin 1, 80-83.
    """
    values = np.round(np.asarray(differences, float), 9)
    if not values.size:
        return None
    values = values[values != 0]
    return permutation_p(np.sign(values) * stats.rankdata(np.abs(values))) if values.size else 1.0


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values with Holm's step-down method for the number of values that are not ``None``.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    known = [number for number, p in enumerate(p_values) if p is not None]
    if len(known) < 2:  # nothing to adjust, and the library runs the garbage collector at every call
        return list(p_values)
    adjusted = multipletests([p_values[number] for number in known], method="holm")[1]
    aligned: list[float | None] = [None] * len(p_values)
    for number, p in zip(known, adjusted, strict=True):
        aligned[number] = float(p)
    return aligned
