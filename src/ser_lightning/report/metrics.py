"""The numbers of every run that a report compares."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ser_lightning import metrics
from ser_lightning.metrics import Confusion, mean_ratio
from ser_lightning.report.arms import Comparison
from ser_lightning.report.runs import Run
from ser_lightning.report.statistics import Pair, Summary, summarize

# Metrics that add up over speakers, and so have intervals over speakers.
COUNTED = {name: metric.sums for name, metric in metrics.METRICS.items() if metric.sums is not None}


class Metric(NamedTuple):
    """A number of every run, in percent.

    Args:
        title: its name in a table
        subset: ``"train"``, ``"val"`` or ``"test"``
        name: key of result.json's metrics; ``"study_metric"``; ``"evaluation_mode"``: the accuracy of the same weights
            in evaluation mode; or ``"training_mode"``: in older runs, of the predictions that the study's metric counts

    """

    title: str
    subset: str
    name: str

    @property
    def key(self) -> str:
        """Its name in report.json."""
        return f"{self.subset}/{self.name}"

    def of(self, run: Run) -> float | None:
        """The value in percent; none if the run has no such number."""
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
        """Whether it can be counted from the predictions of a run, and so by speaker."""
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
    """The metrics that some run has."""
    return tuple(
        metric
        for metric in (*METRICS, IN_EVALUATION_MODE, STUDY, TRAINING_MODE)
        if any(metric.of(run) is not None for run in comparison.runs)
    )


def by_pair(runs: Sequence[Run], metric: Metric) -> dict[Pair, float]:
    """A metric of each run that has it, in percent."""
    values = {run.pair: metric.of(run) for run in runs}
    return {pair: value for pair, value in values.items() if value is not None}


def over_seeds(runs: Sequence[Run], metric: Metric, *, folds: Sequence[str]) -> Summary | None:
    """Mean and spread of a metric over seeds, in percent: of a seed with folds, the mean over them counts.

    A seed that lacks a fold is left out: what it lacks may be the easy one. None if no seed is whole.

    Args:
        runs: of one arm
        metric: which
        folds: every fold of the split; none if it has no folds

    """
    seeds: dict[int, list[float]] = {}
    for run in runs:
        value = metric.of(run)
        if value is not None:
            seeds.setdefault(run.seed, []).append(value)
    whole = [float(np.mean(values)) for values in seeds.values() if len(values) == max(1, len(folds))]
    return summarize(whole) if whole else None


def by_speaker(runs: Sequence[Run], subset: str) -> dict[str, Confusion]:
    """Speaker -> (C, C) counts over all runs, of those speakers that a subset has."""
    counts: dict[str, Confusion] = {}
    for run in runs:
        for speaker, confusion in run.clips[subset].by_speaker.items():
            counts[speaker] = counts[speaker] + confusion if speaker in counts else confusion
    return counts


def over_speakers(runs: Sequence[Run], metric: Metric) -> Summary | None:
    """Mean and spread of a metric over speakers, in percent, all runs counted together; none without predictions."""
    if not runs or not all(metric.clips_of(run) for run in runs):
        return None
    counts = np.stack(list(by_speaker(runs, metric.subset).values())).astype(float)
    return summarize([100 * float(value) for value in mean_ratio(COUNTED[metric.name](counts))])
