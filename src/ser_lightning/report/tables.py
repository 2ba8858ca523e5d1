"""Build the tables of a report: DataFrames of text, one column per title."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from ser_lightning.report.arms import Comparison
from ser_lightning.report.bootstrap import ClusterInterval
from ser_lightning.report.contrasts import (
    POINTS,
    TESTS,
    Contrast,
    Contrasts,
    speaker_sums,
    summary_over_seeds,
    summary_over_speakers,
)
from ser_lightning.report.runs import HEADLINE, MEASURES, LeftOut
from ser_lightning.report.statistics import CONFIDENCE, Summary

NOTHING = "-"
SEVERITIES = ("not found", "shared", "corpus error", "leak")
PROSE = 40  # a column with a longer cell is treated as prose


def markdown(table: pd.DataFrame) -> str:
    r"""Render a table as Markdown; numbers are aligned to the right, words to the left.

    >>> print(markdown(pd.DataFrame({"arm": ["a|b"], "UAR": ["61.0"]})))
    | arm | UAR |
    |:--|--:|
    | a\|b | 61.0 |

    """
    lines = [list(table.columns), *table.itertuples(index=False)]
    text = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    columns = [[str(cell) for cell in table.iloc[:, number]] for number in range(table.shape[1])]
    alignment = [":--" if not number or not _is_numeric(cells) else "--:" for number, cells in enumerate(columns)]
    return "\n".join([text[0], "|" + "|".join(alignment) + "|", *text[1:]])


def _is_numeric(cells: Sequence[str]) -> bool:
    numbers = all(cell == NOTHING or cell[:1].isdigit() or (cell[:1] in "+-<" and len(cell) > 1) for cell in cells)
    return numbers and all(len(cell) <= PROSE for cell in cells)


def arms_table(comparison: Comparison) -> pd.DataFrame:
    """Tabulate mean and sample standard deviation over seeds of every metric, by arm."""
    table = pd.DataFrame({comparison.arm: comparison.arms})
    table["runs"] = [str(len(comparison.runs_of(arm))) for arm in comparison.arms]
    for key in comparison.measures:
        table[MEASURES[key]] = [_mean_sd(summary_over_seeds(comparison, arm, key)) for arm in comparison.arms]
    return table


def speakers_table(comparison: Comparison) -> pd.DataFrame:
    """Tabulate mean and sample standard deviation over speakers by arm, with all runs of an arm pooled."""
    table = pd.DataFrame({comparison.arm: comparison.arms, "speakers": NOTHING})
    for key in filter(speaker_sums, comparison.measures):
        summaries = [summary_over_speakers(comparison, arm, key) for arm in comparison.arms]
        table[MEASURES[key]] = list(map(_mean_sd, summaries))
        if key == HEADLINE:
            table["speakers"] = [NOTHING if summary is None else str(summary.n) for summary in summaries]
    return table


def runs_table(comparison: Comparison) -> pd.DataFrame:
    """Tabulate every run with its metrics and the Wilson interval of its test accuracy."""
    runs = comparison.runs
    columns = {"run": runs.run_id, comparison.arm: runs.arm, "seed": runs.seed}
    if comparison.folds:
        columns["fold"] = runs.fold
    columns["epochs"] = runs.epochs
    counts = comparison.clips("test").groupby("run").correct.agg(["sum", "count"]).loc[runs.index]
    low, high = proportion_confint(counts["sum"], counts["count"], alpha=1 - CONFIDENCE, method="wilson")
    for key in comparison.measures:
        columns[MEASURES[key]] = runs[key].map(_number)
        if key == HEADLINE:
            edges = zip(100 * low, 100 * high, strict=True)
            columns["95 % of its utterances"] = [f"{lower:.1f} to {upper:.1f}" for lower, upper in edges]
    return pd.DataFrame(columns).astype(str)


def differences_table(contrasts: Contrasts, baseline: str) -> pd.DataFrame:
    """Tabulate paired differences with their intervals, in points."""
    rows = []
    for start, contrast in _rows(contrasts, baseline):
        difference = contrast.difference
        why = difference.why_no_interval.partition(", ")[0]  # the explanation after the comma is too long for a cell
        rows.append(
            start
            | {
                "mean": NOTHING if difference.mean is None else f"{difference.mean:+z.1f}",
                "95 % over pairs": interval_text(*difference.interval) if difference.interval else why,
                "by bootstrap": _cluster_interval(contrast.bootstrap_over_pairs),
                "95 % over speakers": _cluster_interval(contrast.bootstrap_over_speakers),
                "sd": _number(difference.sd),
                "pairs": str(len(difference.pairs)),
            }
        )
    return pd.DataFrame(rows)


def tests_table(contrasts: Contrasts, baseline: str) -> pd.DataFrame:
    """Tabulate p-values (Holm-adjusted in brackets if several arms are compared) and effect sizes."""
    titles = dict(zip(TESTS, ("paired t", "Wilcoxon", "permutation", "McNemar"), strict=True))
    rows = []
    for start, contrast in _rows(contrasts, baseline):
        cells = {title: p_text(contrast.p[test]) for test, title in titles.items()}
        if len(contrasts) > 1:
            for test, title in titles.items():
                if contrast.p_holm[test] is not None:
                    cells[title] += f" ({p_text(contrast.p_holm[test])})"
        effects = {"Cohen's d": _number(contrast.cohen_d, 2), "Cliff's delta": _number(contrast.cliff_delta, 2)}
        rows.append(start | cells | effects)
    return pd.DataFrame(rows)


def power_table(contrasts: Contrasts, baseline: str) -> pd.DataFrame:
    """Tabulate the number of seeds needed to detect a difference, and how many more seeds that is."""
    rows = []
    for start, contrast in _rows(contrasts, baseline):
        cells = {}
        for points in POINTS:
            needed, more = contrast.seeds_needed.get(points), contrast.more_seeds(points)
            text = NOTHING if needed is None else f"{needed:,}" + (f" ({more:,} more)" if more else "")
            cells[f"{points} point" + "s" * (points > 1)] = text
        seeds = str(len(set(contrast.difference.seeds)))
        rows.append(start | cells | {"sd of the pairs": _number(contrast.difference.sd), "seeds": seeds})
    return pd.DataFrame(rows)


def _rows(contrasts: Contrasts, baseline: str) -> Iterator[tuple[dict[str, str], Contrast]]:
    """Yield the first cells of a row and its contrast; the arms are named only if several are compared."""
    for arm, measures in contrasts.items():
        for key, contrast in measures.items():
            arms = {"arms": f"{arm} - {baseline}"} if len(contrasts) > 1 else {}
            yield arms | {"metric": MEASURES[key]}, contrast


def accuracy_table(title: str, accuracies: pd.DataFrame, listeners: Mapping[str, float]) -> pd.DataFrame:
    """Tabulate the accuracy on each part of the test set by arm and, where known, by human listeners."""
    table = accuracies.map(_number)
    if listeners:
        table["listeners"] = [_number(listeners.get(part)) for part in table.index]
    return table.rename_axis(title).reset_index().rename_axis(columns=None)


def audit_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Tabulate each leak check with its worst state over all runs and the sentence that describes it."""
    findings = pd.DataFrame([finding for audit in runs.audit for finding in audit["findings"]])
    if findings.empty:
        return findings
    findings["status"] = findings.severity.where(findings.found.astype(bool), "not found")
    findings["rank"] = [
        SEVERITIES.index(status) if status in SEVERITIES else len(SEVERITIES) for status in findings.status
    ]
    rows = []
    for name, group in findings.groupby("name", sort=False):
        worst = group.loc[group["rank"].idxmax()]
        count = int((group.status != "not found").sum())
        rows.append(
            {"check": name, "status": worst.status, "runs": f"{count} of {len(runs)}", "details": worst.sentence}
        )
    return pd.DataFrame(rows)


def calibration_table(comparison: Comparison) -> pd.DataFrame:
    """Tabulate the calibration of each arm on the test clips; all runs must be calibrated."""
    rows = []
    for arm in comparison.arms:
        sections = list(comparison.runs_of(arm).calibration)
        tests = [section["test"] for section in sections]
        errors = [test["reject"]["0.1"]["error"] for test in tests]
        columns = {
            "temperature": (1, 2, [section["fitted"]["temperature"] for section in sections]),
            "ECE before (%)": (100, 1, [test["before"]["ece"] for test in tests]),
            "ECE after (%)": (100, 1, [test["after"]["ece"] for test in tests]),
            "Brier before": (1, 3, [test["before"]["brier"] for test in tests]),
            "Brier after": (1, 3, [test["after"]["brier"] for test in tests]),
            "error with 10 % rejected (%)": (100, 1, [error for error in errors if error is not None]),
            "coverage of sets (%)": (100, 1, [test["sets"]["coverage"] for test in tests]),
        }
        rows.append(
            {comparison.arm: arm}
            | {
                title: _number(factor * sum(values) / len(values) if values else None, digits)
                for title, (factor, digits, values) in columns.items()
            }
        )
    return pd.DataFrame(rows)


def cost_table(comparison: Comparison) -> pd.DataFrame:
    """Tabulate the mean seconds per run by stage and arm, and the total of all runs."""
    runs = comparison.runs
    seconds = pd.DataFrame(list(runs.seconds), index=runs.index)
    by_arm = seconds.groupby(runs.arm, sort=False)
    table = by_arm.mean().map(_number).add_suffix(", a run")
    table.insert(0, "runs", runs.groupby("arm", sort=False).size().astype(str))
    table["all runs"] = by_arm.sum().sum(axis="columns").map("{:,.0f}".format)
    return table.rename_axis(comparison.arm).reset_index()


def left_out_table(left_out: Sequence[LeftOut]) -> pd.DataFrame:
    """Tabulate the run folders that were excluded, with the reasons."""
    return pd.DataFrame(left_out, columns=["folder", "reason"])


def summaries_by_metric(comparison: Comparison, *, over: str) -> dict[str, dict[str, Summary]]:
    """Return arm -> metric -> mean and spread over ``"seeds"`` or ``"speakers"``, without missing summaries."""
    summarize = summary_over_seeds if over == "seeds" else summary_over_speakers
    return {
        arm: {key: summary for key in comparison.measures if (summary := summarize(comparison, arm, key)) is not None}
        for arm in comparison.arms
    }


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


def _cluster_interval(difference: ClusterInterval | None) -> str:
    if difference is None:
        return NOTHING
    return difference.why_no_interval if difference.interval is None else interval_text(*difference.interval)


def _number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None or pd.isna(value) else f"{value:z.{digits}f}"


def _mean_sd(summary: Summary | None) -> str:
    if summary is None:
        return NOTHING
    return f"{summary.mean:.1f}" + ("" if summary.sd is None else f" ± {summary.sd:.1f}")
