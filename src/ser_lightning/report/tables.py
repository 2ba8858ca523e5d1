"""The tables of a report."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ser_lightning.metrics import recall_per_class
from ser_lightning.report.arms import Comparison
from ser_lightning.report.runs import LeftOut, Run
from ser_lightning.report.statistics import PairedDifference, Summary, paired_difference, summarize, wilson

NOTHING = "-"


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


HEADLINE = Metric("test accuracy", "test", "accuracy")
STUDY = Metric("study's test metric", "test", "study_metric")
TRAINING_MODE = Metric("the same predictions by utterance", "test", "training_mode")
IN_EVALUATION_MODE = Metric("test accuracy in evaluation mode", "test", "evaluation_mode")
METRICS = (
    HEADLINE,
    Metric("test UAR", "test", "uar"),
    Metric("test macro F1", "test", "macro_f1"),
    Metric("val UAR", "val", "uar"),
    Metric("train accuracy", "train", "accuracy"),
)


class Table(NamedTuple):
    """A header and rows of text; the first column is left-aligned, the others right."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        r"""The table in Markdown.

        >>> print(Table(("arm", "UAR"), [("a|b", "61.0")]).markdown())
        | arm | UAR |
        |:--|--:|
        | a\|b | 61.0 |

        """
        lines = [self.header, *self.rows]
        text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
        text.insert(1, "|:--" + "|--:" * (len(self.header) - 1) + "|")
        return "\n".join(text)


def metrics_of(comparison: Comparison) -> tuple[Metric, ...]:
    """The metrics that some run has."""
    return tuple(
        metric
        for metric in (*METRICS, IN_EVALUATION_MODE, STUDY, TRAINING_MODE)
        if any(metric.of(run) is not None for run in comparison.runs)
    )


def by_seed(runs: Sequence[Run], metric: Metric) -> dict[int, float]:
    """A metric of each run that has it, in percent."""
    values = {run.seed: metric.of(run) for run in runs}
    return {seed: value for seed, value in values.items() if value is not None}


def summaries(runs: Sequence[Run], metrics: Sequence[Metric]) -> dict[Metric, Summary]:
    """Mean and spread of each metric over the runs that have it, in percent."""
    found = {metric: list(by_seed(runs, metric).values()) for metric in metrics}
    return {metric: summarize(values) for metric, values in found.items() if values}


def differences(comparison: Comparison) -> dict[str, dict[Metric, PairedDifference]]:
    """Arm -> metric -> its paired difference from the baseline, in points of percent."""
    baseline = comparison.arms[comparison.baseline]
    return {
        arm: {
            metric: paired_difference(by_seed(runs, metric), by_seed(baseline, metric))
            for metric in metrics_of(comparison)
        }
        for arm, runs in comparison.arms.items()
        if arm != comparison.baseline
    }


def arms_table(comparison: Comparison) -> Table:
    """Mean and sample standard deviation of every metric, by arm."""
    metrics = metrics_of(comparison)
    rows = []
    for arm, runs in comparison.arms.items():
        found = summaries(runs, metrics)
        cells = [_mean_sd(found[metric]) if metric in found else NOTHING for metric in metrics]
        rows.append((arm, str(len(runs)), *cells))
    return Table((comparison.arm, "runs", *(metric.title for metric in metrics)), rows)


def runs_table(comparison: Comparison) -> Table:
    """Every run, with the Wilson interval of its test accuracy."""
    metrics = metrics_of(comparison)
    rows = []
    for arm, runs in comparison.arms.items():
        for run in runs:
            confusion = run.confusion["test"]
            low, high = wilson(int(confusion.trace()), int(confusion.sum()))
            cells = [_number(metric.of(run)) for metric in metrics]
            cells.insert(1, f"{100 * low:.1f} to {100 * high:.1f}")
            rows.append((run.run_id, arm, str(run.seed), str(run.epochs), *cells))
    titles = [metric.title for metric in metrics]
    titles.insert(1, "95 % of its utterances")
    return Table(("run", comparison.arm, "seed", "epochs", *titles), rows)


def differences_table(found: Mapping[str, Mapping[Metric, PairedDifference]], baseline: str) -> Table:
    """Paired differences with their intervals, in points."""
    rows = []
    for arm, metrics in found.items():
        for metric, difference in metrics.items():
            if difference.interval is None:
                interval = difference.why_no_interval
            else:
                interval = interval_text(*difference.interval)
            mean = NOTHING if difference.mean is None else f"{difference.mean:+z.1f}"
            pairs = str(len(difference.seeds))
            rows.append((f"{arm} - {baseline}", metric.title, pairs, mean, _number(difference.sd), interval))
    return Table(("arms", "metric", "pairs", "mean", "sd", "95 % interval"), rows)


def recall_table(comparison: Comparison) -> Table:
    """Recall of each emotion on the test set, all runs of an arm counted together."""
    columns = []
    for runs in comparison.arms.values():
        recall = recall_per_class(np.sum([run.confusion["test"] for run in runs], axis=0))
        columns.append([NOTHING if math.isnan(share) else f"{100 * share:.1f}" for share in recall])
    emotions = comparison.runs[0].emotions
    return Table(("emotion", *comparison.arms), list(zip(emotions, *columns, strict=True)))


def left_out_table(left_out: Sequence[LeftOut]) -> Table:
    """What is not part of the report, and why."""
    return Table(("folder", "why"), [tuple(item) for item in left_out])


def interval_text(low: float, high: float) -> str:
    """An interval with one decimal, or two where one would round an edge onto zero.

    >>> interval_text(-1.94, 1.06), interval_text(0.03, 1.9)
    ('-1.9 to 1.1', '0.03 to 1.90')

    """
    digits = 2 if any(0 < abs(edge) < 0.05 for edge in (low, high)) else 1
    return f"{low:z.{digits}f} to {high:z.{digits}f}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _mean_sd(summary: Summary) -> str:
    return f"{summary.mean:.1f}" + ("" if summary.sd is None else f" ± {summary.sd:.1f}")
