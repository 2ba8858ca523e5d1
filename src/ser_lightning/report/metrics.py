"""The metrics that a report compares between runs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ser_lightning import metrics
from ser_lightning.metrics import Confusion, mean_ratio
from ser_lightning.report.arms import Comparison
from ser_lightning.report.runs import Run
from ser_lightning.report.statistics import Pair, Summary, summarize

# Metrics computed from counts that add up over speakers, for which intervals over speakers exist.
COUNTED = {name: metric.sums for name, metric in metrics.METRICS.items() if metric.sums is not None}


class Metric(NamedTuple):
    """One number per run, in percent.

    Args:
        title: column title in a table
        subset: ``"train"``, ``"val"`` or ``"test"``
        name: a key of the metrics in result.json; ``"study_metric"``; ``"evaluation_mode"``, the accuracy of the same
            weights in evaluation mode; or ``"training_mode"``, in older runs the accuracy of the predictions that the
            study's metric counts

    """

    title: str
    subset: str
    name: str

    @property
    def key(self) -> str:
        """Key of the metric in report.json."""
        return f"{self.subset}/{self.name}"

    def of(self, run: Run) -> float | None:
        """Return the value in percent, or ``None`` if the run does not have it."""
        if self.name == "study_metric":
            return run.study_metric.get(self.subset)
        if self.name == "training_mode":
            value = run.training_mode.get(self.subset, {}).get("accuracy")
        elif self.name == "evaluation_mode":
            value = run.evaluation_mode.get(self.subset, {}).get("accuracy")
        else:
            value = run.metrics.get(self.subset, {}).get(self.name)
        return None if value is None or not math.isfinite(value) else 100 * value

    def clips_of(self, run: Run) -> bool:
        """Return whether the metric can be computed per speaker from the run's predictions."""
        return self.name in COUNTED and self.subset in run.clips


HEADLINE = Metric("test accuracy", "test", "accuracy")
STUDY = Metric("study's test metric", "test", "study_metric")
TRAINING_MODE = Metric("the same predictions by utterance", "test", "training_mode")
IN_EVALUATION_MODE = Metric("test accuracy in evaluation mode", "test", "evaluation_mode")
METRICS = (
    *(Metric(f"test {metric.title}", "test", metric.name) for metric in metrics.METRICS.values()),
    Metric("val UAR", "val", "uar"),
    Metric("train accuracy", "train", "accuracy"),
)


def metrics_of(comparison: Comparison) -> tuple[Metric, ...]:
    """Return the metrics that at least one run has."""
    return tuple(
        metric
        for metric in (*METRICS, IN_EVALUATION_MODE, STUDY, TRAINING_MODE)
        if any(metric.of(run) is not None for run in comparison.runs)
    )


def by_pair(runs: Sequence[Run], metric: Metric) -> dict[Pair, float]:
    """Return the metric of each run that has it, in percent, by seed (and fold)."""
    values = {run.pair: metric.of(run) for run in runs}
    return {pair: value for pair, value in values.items() if value is not None}


def over_seeds(runs: Sequence[Run], metric: Metric, *, folds: Sequence[str]) -> Summary | None:
    """Return mean and spread of a metric over seeds, in percent; a seed with folds counts with its mean over folds.

    Seeds with missing folds are excluded, because the missing folds may be easier or harder than the others. Return
    ``None`` if no seed is complete.

    Args:
        runs: runs of one arm
        metric: the metric to summarize
        folds: all folds of the split; empty if it has no folds

    """
    seeds: dict[int, list[float]] = {}
    for run in runs:
        value = metric.of(run)
        if value is not None:
            seeds.setdefault(run.seed, []).append(value)
    whole = [float(np.mean(values)) for values in seeds.values() if len(values) == max(1, len(folds))]
    return summarize(whole) if whole else None


def by_speaker(runs: Sequence[Run], subset: str) -> dict[str, Confusion]:
    """Return speaker -> (C, C) counts pooled over all runs, for the speakers of a subset."""
    counts: dict[str, Confusion] = {}
    for run in runs:
        for speaker, confusion in run.clips[subset].by_speaker.items():
            counts[speaker] = counts[speaker] + confusion if speaker in counts else confusion
    return counts


def over_speakers(runs: Sequence[Run], metric: Metric) -> Summary | None:
    """Return mean and spread of a metric over speakers, in percent, with all runs pooled.

    Return ``None`` without a run or if a run lacks predictions of the subset.
    """
    if not runs or not all(metric.clips_of(run) for run in runs):
        return None
    counts = np.stack(list(by_speaker(runs, metric.subset).values())).astype(float)
    return summarize([100 * float(value) for value in mean_ratio(COUNTED[metric.name](counts))])
