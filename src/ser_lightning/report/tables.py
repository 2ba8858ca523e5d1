"""Build the tables of a report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ser_lightning.report.arms import Comparison
from ser_lightning.report.bootstrap import ClusterInterval
from ser_lightning.report.contrasts import POINTS, TESTS, Contrast, Contrasts
from ser_lightning.report.groups import Shares
from ser_lightning.report.metrics import COUNTED, Metric, metrics_of, over_seeds, over_speakers
from ser_lightning.report.runs import LeftOut, Run
from ser_lightning.report.statistics import Summary, wilson

NOTHING = "-"


class Table(NamedTuple):
    """A header and rows of text; the first column is left-aligned and the others are right-aligned."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        r"""Render the table as Markdown.

        >>> print(Table(("arm", "UAR"), [("a|b", "61.0")]).markdown())
        | arm | UAR |
        |:--|--:|
        | a\|b | 61.0 |

        """
        lines = [self.header, *self.rows]
        text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
        text.insert(1, "|:--" + "|--:" * (len(self.header) - 1) + "|")
        return "\n".join(text)


def summaries(comparison: Comparison, runs: Sequence[Run], metrics: Sequence[Metric]) -> dict[Metric, Summary]:
    """Return mean and spread of each metric over seeds, in percent; metrics without a complete seed are omitted."""
    found = {metric: over_seeds(runs, metric, folds=comparison.folds) for metric in metrics}
    return {metric: summary for metric, summary in found.items() if summary is not None}


def arms_table(comparison: Comparison) -> Table:
    """Tabulate mean and sample standard deviation over seeds of every metric, by arm."""
    metrics = metrics_of(comparison)
    rows = []
    for arm, runs in comparison.arms.items():
        found = summaries(comparison, runs, metrics)
        cells = [_mean_sd(found.get(metric)) for metric in metrics]
        rows.append((arm, str(len(runs)), *cells))
    return Table((comparison.arm, "runs", *(metric.title for metric in metrics)), rows)


def speakers_table(comparison: Comparison) -> Table:
    """Tabulate mean and sample standard deviation over speakers by arm, with all runs of an arm pooled."""
    metrics = [metric for metric in metrics_of(comparison) if metric.name in COUNTED and metric.subset != "train"]
    rows = []
    for arm, runs in comparison.arms.items():
        found = [over_speakers(runs, metric) for metric in metrics]
        speakers = next((str(summary.n) for summary in found if summary is not None), NOTHING)
        rows.append((arm, speakers, *map(_mean_sd, found)))
    return Table((comparison.arm, "speakers", *(metric.title for metric in metrics)), rows)


def runs_table(comparison: Comparison) -> Table:
    """Tabulate every run with its metrics and the Wilson interval of its test accuracy."""
    metrics = metrics_of(comparison)
    folded = bool(comparison.folds)
    rows = []
    for arm, runs in comparison.arms.items():
        for run in runs:
            confusion = run.confusion["test"]
            low, high = wilson(int(confusion.trace()), int(confusion.sum()))
            cells = [_number(metric.of(run)) for metric in metrics]
            cells.insert(1, f"{100 * low:.1f} to {100 * high:.1f}")
            fold = (run.fold,) if folded else ()
            rows.append((run.run_id, arm, str(run.seed), *fold, str(run.epochs), *cells))
    titles = [metric.title for metric in metrics]
    titles.insert(1, "95 % of its utterances")
    return Table(("run", comparison.arm, "seed", *(("fold",) if folded else ()), "epochs", *titles), rows)


def differences_table(found: Contrasts, baseline: str) -> Table:
    """Tabulate paired differences with their intervals, in points."""
    rows = []
    for arms, metric, contrast in _each(found, baseline):
        difference = contrast.difference
        why = difference.why_no_interval.partition(", ")[0]  # the explanation after the comma is too long for a cell
        interval = interval_text(*difference.interval) if difference.interval else why
        mean = NOTHING if difference.mean is None else f"{difference.mean:+z.1f}"
        bootstrapped = [_cluster_interval(each) for each in (contrast.pairs_bootstrap, contrast.speakers)]
        pairs = str(len(difference.pairs))
        rows.append((*arms, metric.title, mean, interval, *bootstrapped, _number(difference.sd), pairs))
    titles = ("metric", "mean", "95 % over pairs", "by bootstrap", "95 % over speakers", "sd", "pairs")
    return Table((*_arms_title(found), *titles), rows)


def tests_table(found: Contrasts, baseline: str) -> Table:
    """Tabulate p-values (Holm-adjusted in brackets if several arms are compared) and effect sizes."""
    rows = []
    for arms, metric, contrast in _each(found, baseline):
        cells = [p_text(contrast.p[test]) for test in TESTS]
        if len(found) > 1:
            adjusted = [f" ({p_text(p)})" if (p := contrast.p_holm[test]) is not None else "" for test in TESTS]
            cells = [cell + holm for cell, holm in zip(cells, adjusted, strict=True)]
        effects = [_number(contrast.cohen_d, 2), _number(contrast.cliff_delta, 2)]
        rows.append((*arms, metric.title, *cells, *effects))
    titles = ("metric", "paired t", "Wilcoxon", "permutation", "McNemar", "Cohen's d", "Cliff's delta")
    return Table((*_arms_title(found), *titles), rows)


def power_table(found: Contrasts, baseline: str) -> Table:
    """Tabulate the number of seeds needed to detect a difference, and how many more seeds that is."""
    rows = []
    for arms, metric, contrast in _each(found, baseline):
        cells = []
        for points in POINTS:
            needed, more = contrast.seeds_needed.get(points), contrast.more_seeds(points)
            cells.append(NOTHING if needed is None else f"{needed:,}" + (f" ({more:,} more)" if more else ""))
        seeds = str(len(set(contrast.difference.seeds)))
        rows.append((*arms, metric.title, *cells, _number(contrast.difference.sd), seeds))
    titles = ("metric", *(f"{points} point" + "s" * (points > 1) for points in POINTS), "sd of the pairs", "seeds")
    return Table((*_arms_title(found), *titles), rows)


def _each(found: Contrasts, baseline: str) -> Iterator[tuple[tuple[str, ...], Metric, Contrast]]:
    """Yield every contrast, preceded by the names of its arms if several arms are compared."""
    for arm, metrics in found.items():
        for metric, contrast in metrics.items():
            yield (f"{arm} - {baseline}",) if len(found) > 1 else (), metric, contrast


def _arms_title(found: Contrasts) -> tuple[str, ...]:
    return ("arms",) if len(found) > 1 else ()


def shares_table(comparison: Comparison, title: str, shares: Shares, listeners: Mapping[str, float]) -> Table:
    """Tabulate the accuracy on each part of the test set by arm and, where known, by human listeners."""
    rows = []
    for part, values in shares.items():
        heard = (_number(listeners.get(part)),) if listeners else ()
        rows.append((part, *map(_number, values), *heard))
    return Table((title, *comparison.arms, *(("listeners",) if listeners else ())), rows)


def audit_table(comparison: Comparison) -> Table:
    """Tabulate each leak check with its worst state over all runs and the sentence that describes it."""
    order = {"not found": 0, "shared": 1, "defect": 2, "leak": 3}
    found: dict[str, tuple[str, str, int]] = {}
    for run in comparison.runs:
        for finding in run.audit.get("findings", ()):
            state = finding["severity"] if finding["found"] else "not found"
            worst, sentence, runs = found.get(finding["name"], ("", "", 0))
            if not worst or order.get(state, 3) > order.get(worst, 3):
                worst, sentence = state, finding["sentence"]
            found[finding["name"]] = (worst, sentence, runs + (state != "not found"))
    total = len(comparison.runs)
    return Table(
        ("looked for", "it is", "runs", "in words"),
        [(name, state, f"{runs} of {total}", sentence) for name, (state, sentence, runs) in found.items()],
    )


def cost_table(comparison: Comparison) -> Table:
    """Tabulate the mean seconds per run by stage and arm, and the total of all runs."""
    stages = list(dict.fromkeys(stage for run in comparison.runs for stage in run.seconds))
    rows = []
    for arm, runs in comparison.arms.items():
        known = ([run.seconds[stage] for run in runs if stage in run.seconds] for stage in stages)
        means = [_number(float(np.mean(values))) if values else NOTHING for values in known]
        total = sum(sum(run.seconds.values()) for run in runs)
        rows.append((arm, str(len(runs)), *means, f"{total:,.0f}"))
    return Table((comparison.arm, "runs", *(f"{stage}, a run" for stage in stages), "all runs"), rows)


def left_out_table(left_out: Sequence[LeftOut]) -> Table:
    """Tabulate the run folders that were excluded, with the reasons."""
    return Table(("folder", "why"), [tuple(item) for item in left_out])


def interval_text(low: float, high: float) -> str:
    """Format an interval with one decimal, or with two if one would round a nonzero bound to zero.

    >>> interval_text(-1.94, 1.06), interval_text(0.03, 1.9)
    ('-1.9 to 1.1', '0.03 to 1.90')

    """
    digits = 2 if any(0 < abs(edge) < 0.05 for edge in (low, high)) else 1
    return f"{low:z.{digits}f} to {high:z.{digits}f}"


def p_text(p: float | None) -> str:
    """Format a p-value with two significant digits; ``None`` becomes a dash.

    >>> p_text(0.0471), p_text(0.0000312), p_text(1.0), p_text(None)
    ('0.047', '< 0.0001', '1', '-')

    """
    if p is None:
        return NOTHING
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _cluster_interval(found: ClusterInterval | None) -> str:
    if found is None:
        return NOTHING
    return found.why_no_interval if found.interval is None else interval_text(*found.interval)


def _number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:z.{digits}f}"


def _mean_sd(summary: Summary | None) -> str:
    if summary is None:
        return NOTHING
    return f"{summary.mean:.1f}" + ("" if summary.sd is None else f" ± {summary.sd:.1f}")
