"""Compare each arm with the baseline in every metric: differences, intervals, tests, effect sizes and power."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ser_lightning.report.arms import Comparison
from ser_lightning.report.bootstrap import ClusterInterval, cluster_interval, mean_interval
from ser_lightning.report.metrics import COUNTED, HEADLINE, Metric, by_pair, by_speaker, metrics_of
from ser_lightning.report.runs import Run
from ser_lightning.report.significance import CochranQ, McNemar, cochran_q, holm, mcnemar, permutation_p, wilcoxon_p
from ser_lightning.report.statistics import PairedDifference, cliff_delta, cohen_d, paired_difference, pairs_needed

POINTS = (1, 2, 5)  # differences in points for which the required number of seeds is reported
TESTS = ("t", "wilcoxon", "permutation", "mcnemar")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """Comparison of one arm with the baseline in one metric, in percentage points.

    Args:
        difference: paired differences with their Student-t interval
        pairs_bootstrap: bootstrap interval over pairs; ``None`` without a pair
        speakers: bootstrap interval over speakers with all pairs pooled; ``None`` if it cannot be computed
        cohen_d: mean difference in standard deviations of the differences
        cliff_delta: effect size over all runs of both arms
        seeds_needed: points -> number of seeds that detects such a difference with 80 % power; empty without a spread
        mcnemar: McNemar's test on the pooled test clips; for the test accuracy only
        p: test -> p-value
        p_holm: test -> p-value with Holm's adjustment for the number of arms compared with the baseline

    """

    difference: PairedDifference
    pairs_bootstrap: ClusterInterval | None
    speakers: ClusterInterval | None
    cohen_d: float | None
    cliff_delta: float | None
    seeds_needed: Mapping[int, int]
    mcnemar: McNemar | None
    p: Mapping[str, float | None]
    p_holm: Mapping[str, float | None] = field(default_factory=dict)

    def more_seeds(self, points: int) -> int | None:
        """Return how many more seeds would detect a difference of so many points; ``None`` if unknown."""
        needed = self.seeds_needed.get(points)
        return None if needed is None else max(0, needed - len(set(self.difference.seeds)))


Contrasts = Mapping[str, Mapping[Metric, Contrast]]


def contrasts(comparison: Comparison) -> Contrasts:
    """Compare every arm with the baseline and return arm -> metric -> contrast."""
    baseline = comparison.arms[comparison.baseline]
    others = {arm: runs for arm, runs in comparison.arms.items() if arm != comparison.baseline}
    metrics = metrics_of(comparison)
    raw = {
        arm: {metric: _contrast(runs, baseline, metric, folds=len(comparison.folds)) for metric in metrics}
        for arm, runs in others.items()
    }
    found: dict[str, dict[Metric, Contrast]] = {arm: {} for arm in others}
    for metric in metrics:
        adjusted = {test: holm([raw[arm][metric].p[test] for arm in others]) for test in TESTS}
        for number, arm in enumerate(others):
            p_holm = {test: adjusted[test][number] for test in TESTS}
            found[arm][metric] = dataclasses.replace(raw[arm][metric], p_holm=p_holm)
    return found


def cochran(comparison: Comparison) -> CochranQ | None:
    """Compute Cochran's Q over the test clips of the pairs that all arms share.

    Return ``None`` with fewer than three arms, without a shared pair, or if the test clips differ between arms.
    """
    if len(comparison.arms) < 3:
        return None
    arms = [{run.pair: run for run in runs} for runs in comparison.arms.values()]
    shared = [pair for pair in arms[0] if all(pair in arm for arm in arms)]
    groups = [[arm[pair].clips["test"] for arm in arms] for pair in shared]
    if not groups or not all(clips.same_clips(group[0]) for group in groups for clips in group):
        return None
    return cochran_q(np.concatenate([np.stack([clips.correct for clips in group], axis=1) for group in groups]))


def fair_pairs(arm: Sequence[Run], baseline: Sequence[Run], subset: str) -> tuple[list[Run], list[Run]] | None:
    """Return the paired runs of two arms in the same order, or ``None`` without a pair or if their clips differ."""
    partners = {run.pair: run for run in baseline}
    own = [run for run in arm if run.pair in partners]
    other = [partners[run.pair] for run in own]
    fair = all(
        subset in one.clips and subset in two.clips and one.clips[subset].same_clips(two.clips[subset])
        for one, two in zip(own, other, strict=True)
    )
    return (own, other) if own and fair else None


def _contrast(arm: Sequence[Run], baseline: Sequence[Run], metric: Metric, *, folds: int) -> Contrast:
    own, other = by_pair(arm, metric), by_pair(baseline, metric)
    difference = paired_difference(own, other)
    values = difference.differences
    spread = difference.sd if difference.interval is not None else None
    found = _mcnemar(arm, baseline) if metric == HEADLINE else None
    return Contrast(
        difference=difference,
        pairs_bootstrap=mean_interval(np.array(values)) if values else None,
        speakers=_speakers(arm, baseline, metric),
        cohen_d=cohen_d(values),
        cliff_delta=cliff_delta(list(own.values()), list(other.values())),
        seeds_needed={points: math.ceil(pairs_needed(spread, points) / max(1, folds)) for points in POINTS}
        if spread is not None
        else {},
        mcnemar=found,
        p={
            "t": difference.p,
            "wilcoxon": wilcoxon_p(values),
            "permutation": permutation_p(values),
            "mcnemar": None if found is None else found.p,
        },
    )


def _speakers(arm: Sequence[Run], baseline: Sequence[Run], metric: Metric) -> ClusterInterval | None:
    if metric.name not in COUNTED or (pairs := fair_pairs(arm, baseline, metric.subset)) is None:
        return None
    one, other = (by_speaker(runs, metric.subset) for runs in pairs)
    counts = [np.stack([side[speaker] for speaker in sorted(one)]).astype(float) for side in (one, other)]
    found = cluster_interval(*(COUNTED[metric.name](each) for each in counts))
    percent = None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1])
    return found._replace(mean=100 * found.mean, interval=percent)


def _mcnemar(arm: Sequence[Run], baseline: Sequence[Run]) -> McNemar | None:
    if (pairs := fair_pairs(arm, baseline, "test")) is None:
        return None
    one, other = (np.concatenate([run.clips["test"].correct for run in runs]) for runs in pairs)
    return mcnemar(one, other)
