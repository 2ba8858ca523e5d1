"""Metrics by group of test clips, such as the gender of the speaker, and tests of the differences between groups.

A group's UAR is over the emotions that occur in it. Speakers are the unit of intervals and tests wherever a group has
enough of them, because clips of one speaker are correlated.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from ser_lightning.metrics import METRICS, Counts, accuracy_sums, mean_ratio, uar_sums
from ser_lightning.report.bootstrap import FEWEST, metric_interval
from ser_lightning.report.runs import class_codes
from ser_lightning.report.statistics import CONFIDENCE, SEED, holm, permutation_p

ATTRIBUTES = ("gender", "speaker", "age", "language", "statement", "intensity")
AGES = {18: "under 18", 30: "18 to 29", 45: "30 to 44", 60: "45 to 59", math.inf: "60 or older"}  # below -> group
MOST_GROUPS = 100  # an attribute with more values, such as a transcript, describes clips and not groups of them
FEWEST_CLIPS = 10  # a smaller group is not named as the worst
RESAMPLES = 9_999
LEVEL = 0.05


class Fairness(NamedTuple):
    """Metrics by group, and comparisons of each group with the other clips of its attribute.

    Args:
        groups: one row per attribute and group, worst UAR first. Columns: ``attribute``, ``group``, ``speakers``,
            ``clips``, ``accuracy``, ``uar``, ``low`` and ``high`` (95 % interval of the UAR) in percent, and ``unit``,
            over which the interval is: ``speakers`` (bootstrap) or ``clips`` (Wilson)
        comparisons: one row per comparison. Columns: ``attribute``, ``group``, ``others``, ``difference`` in points,
            ``unit``, ``n`` (number of units), ``p``, ``p_holm`` and ``why`` (why there is no p-value)

    """

    groups: pd.DataFrame
    comparisons: pd.DataFrame


def fairness(clips: pd.DataFrame, emotions: Sequence[str]) -> Fairness:
    """Compute the metrics of every group of clips, and test the differences with Holm's adjustment.

    A clip that was evaluated by several runs counts once, with the share of the runs that are correct. An attribute is
    left out if the corpus does not have it, or if it has a single value or more than 100.

    Args:
        clips: predictions, with the columns of :func:`ser_lightning.read_predictions`
        emotions: class names in order

    """
    groups: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    weights = 1 / clips.groupby(["utterance", "copy"]).target.transform("size").to_numpy()
    for attribute in ATTRIBUTES:
        values = _values(clips, attribute)
        known = (values != "").to_numpy()
        if not 2 <= values[known].nunique() <= (math.inf if attribute == "speaker" else MOST_GROUPS):
            continue
        known_clips = clips[known]
        codes, names = pd.factorize(values[known], sort=True)
        speakers = np.zeros_like(codes) if attribute == "speaker" else pd.factorize(known_clips.speaker)[0]
        counts = _counts(known_clips, emotions, (speakers, codes), weights[known])
        metrics = [_group(counts[:, number]) for number in range(len(names))]
        order = sorted(range(len(names)), key=lambda number: metrics[number]["uar"])
        groups += [{"attribute": attribute, "group": names[number], **metrics[number]} for number in order]
        if attribute == "speaker":
            comparisons.append({"attribute": attribute, "group": "all", "others": "", **_compare_speakers(counts[0])})
            continue
        for number in order[: 1 if len(order) == 2 else None]:
            others = names[order[1]] if len(order) == 2 else "others"
            compared = _compare(counts[:, number], counts.sum(1) - counts[:, number])
            comparisons.append({"attribute": attribute, "group": names[number], "others": others, **compared})
    for row, p in zip(comparisons, holm([row["p"] for row in comparisons]), strict=True):
        row["p_holm"] = p
    if (clips.speaker == "").any():
        groups = [row | {"speakers": None} for row in groups]  # unknown
    return Fairness(pd.DataFrame(groups, dtype=object), pd.DataFrame(comparisons, dtype=object))


def _values(clips: pd.DataFrame, attribute: str) -> "pd.Series[str]":
    """Return the group of each clip, empty if it is unknown; ages are grouped."""
    if attribute not in clips:
        return pd.Series("", index=clips.index)
    values = clips[attribute].astype(str)
    if attribute == "age":
        ages = pd.to_numeric(values, errors="coerce")
        return pd.cut(ages, [-math.inf, *AGES], right=False, labels=list(AGES.values())).astype(object).fillna("")
    return values


def _counts(
    clips: pd.DataFrame, emotions: Sequence[str], index: tuple[NDArray[np.int64], ...], weights: NDArray[np.float64]
) -> Counts:
    """Return the confusion counts of each speaker and group, (speakers, groups, C, C)."""
    counts = np.zeros((*(codes.max() + 1 for codes in index), len(emotions), len(emotions)))
    np.add.at(counts, (*index, *class_codes(clips, emotions)), weights)
    return counts


def _group(counts: Counts) -> dict[str, Any]:
    """Return the metrics of a group with the counts (speakers, C, C)."""
    counts = counts[counts.any((1, 2))]
    total = counts.sum(0)
    accuracy, uar = (100 * float(mean_ratio(sums(total))) for sums in (accuracy_sums, uar_sums))
    interval, unit = metric_interval(counts, METRICS["uar"]).interval, "speakers"
    if len(counts) < FEWEST or interval is None:
        interval, unit = _interval_over_clips(total), "clips"
    row = {"speakers": len(counts), "clips": round(total.sum()), "accuracy": accuracy, "uar": uar}
    return row | {"low": max(0.0, interval[0]), "high": min(100.0, interval[1]), "unit": unit}


def _interval_over_clips(counts: Counts) -> tuple[float, float]:
    """Return Wilson's interval of the UAR in percent, as that of a share of the effective number of clips.

    A mean of K recalls over n_k clips each varies like a share of K times the harmonic mean of n_k clips, or less.
    """
    sizes = counts.sum(1)
    sizes = sizes[sizes > 0]
    effective = len(sizes) * stats.hmean(sizes)
    share = float(mean_ratio(uar_sums(counts)))
    low, high = proportion_confint(share * effective, effective, alpha=1 - CONFIDENCE, method="wilson")
    return 100 * float(low), 100 * float(high)


def _compare(group: Counts, others: Counts) -> dict[str, Any]:
    """Compare the UAR of a group with that of the other clips, both (speakers, C, C), by a permutation test.

    Speakers with clips on both sides are compared with themselves; without such speakers, those of the group are
    compared with the others. Only emotions that occur on both sides count.
    """
    shared = group.sum((0, 2)).astype(bool) & others.sum((0, 2)).astype(bool)
    group, others = group * shared[:, None], others * shared[:, None]
    inside, outside = group.any((1, 2)), others.any((1, 2))
    both = inside & outside
    first, second = (100 * mean_ratio(uar_sums(counts)) for counts in (group, others))
    if not shared.any():
        return {"difference": math.nan, "unit": "speakers", "n": 0, "p": None, "why": "no emotion in common"}
    if both.any():
        differences = first[both] - second[both]
        n, arrangements = len(differences), 2 ** len(differences)
        difference = float(differences.mean())
    else:
        n, arrangements = int((inside | outside).sum()), math.comb(int((inside | outside).sum()), int(inside.sum()))
        difference = float(first[inside].mean() - second[outside].mean())
    row = {"difference": difference, "unit": "speakers", "n": n}
    if LEVEL * arrangements < 2:  # even the most extreme arrangement would have a larger p-value
        return row | {"p": None, "why": "too few speakers"}
    p = permutation_p(differences.tolist()) if both.any() else _two_sample_p(first[inside], second[outside])
    return row | {"p": p, "why": ""}


def _two_sample_p(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of the permutation test of two groups of speakers."""
    test = stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return float(test.pvalue)


def _compare_speakers(counts: Counts) -> dict[str, Any]:
    """Test whether the accuracies of speakers, with counts (speakers, C, C), differ more than those of random clips."""
    correct, clips = np.trace(counts, axis1=1, axis2=2), counts.sum((1, 2))
    right = np.stack([correct, clips - correct])
    p = float(stats.chi2_contingency(right).pvalue) if right.sum(1).all() else 1.0
    uar = 100 * mean_ratio(uar_sums(counts))
    return {"difference": float(uar.min() - uar.max()), "unit": "clips", "n": round(clips.sum()), "p": p, "why": ""}
