"""Means, intervals and paired differences of a few runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Mean and spread of one number over runs.

    Args:
        n: number of runs
        mean: arithmetic mean
        sd: sample standard deviation (divisor n - 1); none for a single run

    """

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """Differences between two arms, seed by seed, and the interval of their mean.

    Args:
        seeds: the seeds that both arms have, ascending
        differences: arm minus baseline, in the order of ``seeds``
        mean: mean difference; none without a pair
        sd: sample standard deviation of the differences; none below two pairs
        interval: 95 % Student-t interval of the mean; none where it cannot be estimated
        why_no_interval: the reason in words, empty if there is an interval

    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    why_no_interval: str

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero is outside it."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def summarize(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation.

    Args:
        values: one number per run

    Raises:
        ValueError: there is no value

    >>> summarize([1.0, 2.0, 4.5])
    Summary(n=3, mean=2.5, sd=1.8027756377319946)

    """
    if not values:
        raise ValueError("Expected at least one value but got none.")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(n=len(values), mean=float(np.mean(values)), sd=sd)


def paired_difference(arm: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference:
    """Difference of two arms over the seeds they share, with its 95 % Student-t interval.

    Args:
        arm: value of each seed
        baseline: value of each seed, in the same unit

    >>> found = paired_difference({0: 62.0, 1: 64.0, 2: 63.0}, {0: 61.0, 1: 61.0, 2: 61.0})
    >>> found.mean, [round(edge, 2) for edge in found.interval]
    (2.0, [-0.48, 4.48])

    """
    seeds = tuple(sorted(arm.keys() & baseline.keys()))
    differences = tuple(arm[seed] - baseline[seed] for seed in seeds)
    if not differences:
        return PairedDifference(
            seeds=(),
            differences=(),
            mean=None,
            sd=None,
            interval=None,
            why_no_interval="the arms share no seed",
        )
    summary = summarize(differences)
    interval, why = None, ""
    if summary.sd is None:
        why = "one pair gives no interval"
    elif np.allclose(differences, differences[0], rtol=0, atol=1e-9):
        # A t interval of no width would claim certainty; with scores in steps of 1/N ties are chance.
        why = "all differences are equal, so their spread cannot be estimated"
    else:
        half = stats.t.ppf((1 + CONFIDENCE) / 2, summary.n - 1) * summary.sd / math.sqrt(summary.n)
        interval = (float(summary.mean - half), float(summary.mean + half))
    return PairedDifference(
        seeds=seeds,
        differences=differences,
        mean=summary.mean,
        sd=summary.sd,
        interval=interval,
        why_no_interval=why,
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927).

    Args:
        successes: number of correct utterances
        trials: number of utterances

    Returns:
        lower and upper edge, as fractions

    Raises:
        ValueError: there is no trial, or the successes are not from 0 to ``trials``

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
