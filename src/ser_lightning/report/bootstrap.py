"""Bootstrap intervals over a small number of clusters: speakers, or pairs of runs.

The percentile bootstrap, common in papers, is too narrow with few clusters. In 4,000 simulations with normally
distributed differences, its nominal 95 % intervals cover zero in 75 % of cases with 3 clusters, 83 % with 5, 88 % with
8 and 93 % with 24. The symmetric studentized bootstrap, which this module uses, covers 99 % with 4, 98 % with 5, 96 %
with 8 and 95 % with 24. It is not used below 8 clusters, because some draws then have almost no spread to divide by
and some intervals become many times too wide.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_lightning.metrics import Counts, Metric, mean_ratio
from ser_lightning.report.statistics import CONFIDENCE

DRAWS = 10_000
FEWER_DRAWS = 2000  # for the many intervals of single groups and conditions
SEED = 0
FEWEST = 8
CELLS = 1_000_000  # array elements held in memory at once


class ClusterInterval(NamedTuple):
    """A difference between two arms and its interval over clusters.

    Args:
        mean: the difference with all clusters pooled
        interval: 95 %, symmetric studentized bootstrap; ``None`` if it cannot be estimated
        clusters: number of clusters
        why_no_interval: why there is no interval; empty if there is one

    """

    mean: float
    interval: tuple[float, float] | None
    clusters: int
    why_no_interval: str


def cluster_interval(arm: Counts, baseline: Counts, *, draws: int = DRAWS, seed: int = SEED) -> ClusterInterval:
    """Compute the interval of a metric's difference between two arms by resampling clusters with replacement.

    The difference of each draw is divided by its jackknife standard error over the clusters in that draw.

    Args:
        arm: (J, 2, K) numerators and denominators of each cluster, see :attr:`ser_lightning.metrics.Metric.sums`
        baseline: (J, 2, K), the same clusters in the same order
        draws: number of bootstrap draws
        seed: seed of the random draws

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5; Hall 1988, Annals of Statistics 16,
    927-953, for the symmetric interval.
    """
    clusters = len(arm)
    all_once = np.ones((1, clusters))
    mean = float(_difference(_sums(all_once, arm), _sums(all_once, baseline))[0])
    if clusters < FEWEST:
        return ClusterInterval(mean, None, clusters, f"fewer than {FEWEST}")
    error = float(_jackknife_errors(arm, baseline, all_once)[0])
    if error < 1e-12:
        return ClusterInterval(mean, None, clusters, "all are equal")
    weights = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), draws).astype(float)
    chunk = max(1, CELLS // math.prod(arm.shape))
    ratios = []
    for start in range(0, draws, chunk):
        drawn = weights[start : start + chunk]
        errors = _jackknife_errors(arm, baseline, drawn)
        away = np.abs(_difference(_sums(drawn, arm), _sums(drawn, baseline)) - mean)
        # The ratio of a draw without spread is undefined; counting it as infinite widens the interval.
        ratios.append(np.divide(away, errors, out=np.full(len(drawn), np.inf), where=errors > 1e-12))
    edge = float(np.sort(np.concatenate(ratios))[math.ceil(CONFIDENCE * (draws + 1)) - 1])
    if not math.isfinite(edge):
        return ClusterInterval(mean, None, clusters, "too many draws have no spread")
    return ClusterInterval(mean, (mean - edge * error, mean + edge * error), clusters, "")


def mean_interval(values: Counts, *, draws: int = DRAWS, seed: int = SEED) -> ClusterInterval:
    """Compute the interval of the mean of a few values with the bootstrap of :func:`cluster_interval`.

    Args:
        values: (J,), such as the difference of each pair of runs
        draws: number of bootstrap draws
        seed: seed of the random draws

    """
    counts = np.stack([values, np.ones_like(values)], axis=1)[..., None]
    return cluster_interval(counts, np.zeros_like(counts), draws=draws, seed=seed)


def metric_interval(counts: Counts, metric: Metric, *, draws: int = FEWER_DRAWS) -> ClusterInterval:
    """Compute a metric of one system in percent and its interval with the bootstrap of :func:`cluster_interval`.

    Args:
        counts: (J, C, C) confusion counts of each cluster
        metric: a metric with ``sums``
        draws: number of bootstrap draws

    """
    if metric.sums is None:
        return ClusterInterval(100 * metric.compute(counts.sum(0)), None, len(counts), "not a ratio of sums")
    sums = metric.sums(counts) * np.array([[100.0], [1.0]])
    return cluster_interval(sums, np.zeros_like(sums), draws=draws)


def speaker_interval(counts: Counts) -> tuple[float, float] | None:
    """Return the interval of the UAR in percent over speakers, within 0 and 100; None if it cannot be estimated.

    Args:
        counts: (J, 2, C) correct and all clips of each speaker and emotion

    """
    sums = counts * np.array([[100.0], [1.0]])
    interval = cluster_interval(sums, np.zeros_like(sums), draws=FEWER_DRAWS).interval
    return None if interval is None else (max(0.0, interval[0]), min(100.0, interval[1]))


def _sums(weights: NDArray[np.float64], counts: Counts) -> Counts:
    """Return the weighted sums (N, 2, K) of the counts (J, 2, K) under cluster weights (N, J)."""
    sums: Counts = np.tensordot(weights, counts, 1)
    return sums


def _difference(arm: Counts, baseline: Counts) -> NDArray[np.float64]:
    return mean_ratio(arm) - mean_ratio(baseline)


def _jackknife_errors(arm: Counts, baseline: Counts, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return jackknife standard errors (N,) of the difference under cluster weights (N, J)."""
    clusters = weights.shape[1]
    # (N, J, 2, K); the values of clusters that were not drawn are meaningless, but their weight is zero
    without = [_sums(weights, counts)[:, None] - counts for counts in (arm, baseline)]
    values = _difference(*without)  # (N, J)
    center = (weights * values).sum(axis=1, keepdims=True) / clusters
    variance = (clusters - 1) / clusters * (weights * (values - center) ** 2).sum(axis=1)
    errors: Counts = np.sqrt(variance)
    return errors
