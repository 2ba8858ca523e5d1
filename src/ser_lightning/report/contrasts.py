"""Compare each arm with the baseline in every metric: differences, intervals, tests, effect sizes and power."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_lightning.metrics import METRICS, Counts, mean_ratio
from ser_lightning.report.arms import Comparison
from ser_lightning.report.bootstrap import ClusterInterval, cluster_interval, mean_interval
from ser_lightning.report.clip_tests import CochranQ, McNemar, cochran_q, mcnemar
from ser_lightning.report.runs import HEADLINE, class_codes
from ser_lightning.report.statistics import (
    Pair,
    PairedDifference,
    Summary,
    cliff_delta,
    cohen_d,
    holm,
    paired_difference,
    pairs_needed,
    permutation_p,
    summarize,
    wilcoxon_p,
)

POINTS = (1, 2, 5)  # differences in points for which the required number of seeds is reported
TESTS = ("t", "wilcoxon", "permutation", "mcnemar")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """Comparison of one arm with the baseline in one metric, in percentage points.

    Args:
        difference: paired differences with their Student-t interval
        bootstrap_over_pairs: bootstrap interval over pairs; ``None`` without a pair
        bootstrap_over_speakers: bootstrap interval over speakers with all pairs pooled; ``None`` if it cannot be
            computed
        cohen_d: mean difference in standard deviations of the differences
        cliff_delta: effect size over all runs of both arms
        p: test -> p-value
        p_holm: test -> p-value with Holm's adjustment for the number of arms compared with the baseline
        mcnemar: McNemar's test on the pooled test clips; for the test accuracy only
        seeds_needed: points -> number of seeds that detects such a difference with 80 % power; empty without a spread

    """

    difference: PairedDifference
    bootstrap_over_pairs: ClusterInterval | None
    bootstrap_over_speakers: ClusterInterval | None
    cohen_d: float | None
    cliff_delta: float | None
    p: Mapping[str, float | None]
    p_holm: Mapping[str, float | None]
    mcnemar: McNemar | None
    seeds_needed: Mapping[int, int]

    def more_seeds(self, points: int) -> int | None:
        """Return how many more seeds would detect a difference of so many points; ``None`` if unknown."""
        needed = self.seeds_needed.get(points)
        return None if needed is None else max(0, needed - len(set(self.difference.seeds)))


Contrasts = Mapping[str, Mapping[str, Contrast]]  # arm -> column of a metric -> contrast with the baseline


def contrasts(comparison: Comparison) -> Contrasts:
    """Compare every arm with the baseline in every metric."""
    others = comparison.arms[1:]
    correct = correct_clips(comparison)
    by_arm: dict[str, dict[str, Contrast]] = {arm: {} for arm in others}
    for key in comparison.measures:
        unadjusted = [_contrast(comparison, arm, key, correct) for arm in others]
        adjusted = {test: holm([contrast.p[test] for contrast in unadjusted]) for test in TESTS}
        for number, (arm, contrast) in enumerate(zip(others, unadjusted, strict=True)):
            by_arm[arm][key] = replace(contrast, p_holm={test: adjusted[test][number] for test in TESTS})
    return by_arm


def _contrast(comparison: Comparison, arm: str, key: str, correct: pd.DataFrame) -> Contrast:
    arm_values, baseline_values = (values_by_pair(comparison.runs_of(name), key) for name in (arm, comparison.baseline))
    difference = paired_difference(arm_values, baseline_values)
    values = difference.differences
    spread = difference.sd if difference.interval is not None else None
    test = None
    if key == HEADLINE and fair_pairs(comparison, arm, "test") is not None:
        both = correct[[arm, comparison.baseline]].dropna().astype(bool)
        test = mcnemar(both[arm].to_numpy(), both[comparison.baseline].to_numpy())
    folds = max(1, len(comparison.folds))
    return Contrast(
        difference=difference,
        bootstrap_over_pairs=mean_interval(np.array(values)) if values else None,
        bootstrap_over_speakers=_over_speakers(comparison, arm, key),
        cohen_d=cohen_d(values),
        cliff_delta=cliff_delta(list(arm_values.values()), list(baseline_values.values())),
        p={
            "t": difference.p,
            "wilcoxon": wilcoxon_p(values),
            "permutation": permutation_p(values),
            "mcnemar": None if test is None else test.p,
        },
        p_holm={},
        mcnemar=test,
        seeds_needed={}
        if spread is None
        else {points: math.ceil(pairs_needed(spread, points) / folds) for points in POINTS},
    )


def values_by_pair(runs: pd.DataFrame, key: str) -> dict[Pair, float]:
    """Return the metric of each run that has it, in percent, by seed, or by seed and fold."""
    known = runs[runs[key].notna()]
    return {
        (seed, fold) if fold else seed: value
        for seed, fold, value in zip(known.seed, known.fold, known[key].tolist(), strict=True)
    }


def correct_clips(comparison: Comparison) -> pd.DataFrame:
    """Return whether each arm classifies each test clip of each seed (and fold) correctly.

    Returns:
        one row per seed, fold, utterance and copy, one column per arm; missing where an arm lacks the pair

    """
    index = ["seed", "fold", "utterance", "copy"]
    return comparison.clips("test").pivot(index=index, columns="arm", values="correct")


def cochran(comparison: Comparison) -> CochranQ | None:
    """Compute Cochran's Q over the test clips of the pairs that all arms share.

    Return ``None`` with fewer than three arms, without a shared pair, or if the test clips differ between arms.
    """
    if len(comparison.arms) < 3:
        return None
    digests = comparison.runs.assign(digest=[sets["test"] for sets in comparison.runs.clip_sets])
    shared = digests.pivot(index=["seed", "fold"], columns="arm", values="digest").dropna()
    if shared.empty or (shared.nunique(axis="columns") > 1).any():
        return None
    correct = correct_clips(comparison).dropna()
    return cochran_q(correct.to_numpy(bool))


def fair_pairs(comparison: Comparison, arm: str, subset: str) -> list[tuple[int, str]] | None:
    """Return the seeds and folds that an arm shares with the baseline.

    Return ``None`` if there are none or if the runs of a pair were evaluated on different clips.
    """
    sides = [comparison.runs_of(name) for name in (arm, comparison.baseline)]
    arm_clips, baseline_clips = (
        {(run.seed, run.fold): run.clip_sets.get(subset) for run in side.itertuples()} for side in sides
    )
    pairs = [pair for pair in arm_clips if pair in baseline_clips]
    fair = all(arm_clips[pair] is not None and arm_clips[pair] == baseline_clips[pair] for pair in pairs)
    return pairs if pairs and fair else None


def _over_speakers(comparison: Comparison, arm: str, key: str) -> ClusterInterval | None:
    sums = speaker_sums(key)
    subset = key.split("/", maxsplit=1)[0]
    if sums is None or (pairs := fair_pairs(comparison, arm, subset)) is None:
        return None
    counts = []
    for name in (arm, comparison.baseline):
        clips = comparison.clips(subset, name).sort_values("speaker")
        paired = clips[pd.MultiIndex.from_frame(clips[["seed", "fold"]]).isin(pairs)]
        if not names_speakers(paired):
            return None
        counts.append(sums(speaker_counts(paired, comparison.emotions)))
    estimate = cluster_interval(*counts)
    percent = None if estimate.interval is None else (100 * estimate.interval[0], 100 * estimate.interval[1])
    return estimate._replace(mean=100 * estimate.mean, interval=percent)


def speaker_sums(key: str) -> Any:
    """Return the function that makes a metric addable over speakers; ``None`` if there is none."""
    subset, name = key.split("/")
    metric = METRICS.get(name)
    return None if metric is None or subset == "train" else metric.sums


def names_speakers(clips: pd.DataFrame) -> bool:
    """Return whether the speaker of every clip is known."""
    return bool((clips.speaker != "").all())


def speaker_counts(clips: pd.DataFrame, emotions: tuple[str, ...]) -> Counts:
    """Return the confusion counts of each speaker, in the order of the clips: (S, C, C)."""
    speakers, names = pd.factorize(clips.speaker)
    counts = np.zeros((len(names), len(emotions), len(emotions)))
    np.add.at(counts, (speakers, *class_codes(clips, emotions)), 1)
    return counts


def summary_over_speakers(comparison: Comparison, arm: str, key: str) -> Summary | None:
    """Return mean and spread of a metric over speakers, in percent, with all runs of an arm pooled.

    Return ``None`` if the metric cannot be computed by speaker, or if a run lacks predictions of the subset or names no
    speakers.
    """
    sums, subset = speaker_sums(key), key.split("/", maxsplit=1)[0]
    if sums is None or not all(subset in sets for sets in comparison.runs_of(arm).clip_sets):
        return None
    clips = comparison.clips(subset, arm).sort_values(["seed", "fold", "speaker"])
    if not names_speakers(clips):
        return None
    ratios = mean_ratio(sums(speaker_counts(clips, comparison.emotions)))
    return summarize([100 * float(value) for value in ratios])


def summary_over_seeds(comparison: Comparison, arm: str, key: str) -> Summary | None:
    """Return mean and spread of a metric over seeds, in percent; a seed with folds counts with its mean over folds.

    Seeds with missing folds are excluded, because the missing folds may be easier or harder than the others. Return
    ``None`` if no seed is complete.
    """
    runs = comparison.runs_of(arm)
    by_seed = runs[runs[key].notna()].groupby("seed", sort=False)[key]
    folds = max(1, len(comparison.folds))
    complete = [float(np.mean(values.to_numpy())) for _, values in by_seed if len(values) == folds]
    return summarize(complete) if complete else None


def accuracy_by(comparison: Comparison, column: str) -> pd.DataFrame:
    """Return the test accuracy in percent on each part of the test set, with all runs of an arm pooled.

    Args:
        comparison: the arms and their runs
        column: the column of the predictions that defines the parts: ``target``, ``gender`` or ``intensity``

    Returns:
        one row per part, one column per arm, NaN where an arm has no such clip; empty if a clip lacks the value

    """
    clips = comparison.clips("test")
    if (clips[column] == "").any():
        return pd.DataFrame(columns=comparison.arms)
    counts = clips.groupby([column, "arm"]).correct.agg(["sum", "count"])
    share = 100 * (counts["sum"] / counts["count"])
    return share.unstack("arm")[comparison.arms]


def pooled_confusion(comparison: Comparison, arm: str) -> NDArray[np.int64]:
    """Return the (C, C) test confusion counts of all runs of an arm."""
    total: NDArray[np.int64] = np.sum([confusion["test"] for confusion in comparison.runs_of(arm).confusion], axis=0)
    return total
