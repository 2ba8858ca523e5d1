"""The tables of a report as LaTeX: the arms, and their differences from the baseline."""

from collections.abc import Iterator

from ser_lightning.metrics import METRICS
from ser_lightning.paper.latex import bold, escape, interval, number, p_value, table
from ser_lightning.report.answer import LEVEL, is_claimed
from ser_lightning.report.arms import Comparison
from ser_lightning.report.contrasts import Contrasts, summary_over_seeds, values_by_pair
from ser_lightning.report.runs import MEASURES
from ser_lightning.report.statistics import holm, paired_difference, t_interval


def arms_table(comparison: Comparison) -> str:
    """Return the table of the test metrics of every arm: mean and 95 % interval over seeds, the best in bold."""
    measures = [f"test/{name}" for name in METRICS if f"test/{name}" in comparison.measures]
    bolds = {key: best_arms(comparison, key) for key in measures}
    rows = []
    for arm in comparison.arms:
        cells = [escape(arm), str(comparison.runs_of(arm).seed.nunique())]
        for key in measures:
            summary = summary_over_seeds(comparison, arm, key)
            if summary is None:
                cells.append("--")
                continue
            mean = number(summary.mean)
            spread = f" {interval(t_interval(summary))}" if summary.sd is not None else ""
            cells.append((bold(mean) if arm in bolds[key] else mean) + spread)
        rows.append(cells)
    return table(
        [escape(comparison.arm), "Seeds", *(_title(key) for key in measures)],
        rows,
        alignment="lr" + "l" * len(measures),
        caption=_arms_caption(comparison, any(bolds.values())),
        label=f"tab:{_label(comparison)}-arms",
    )


def best_arms(comparison: Comparison, key: str) -> set[str]:
    """Return the arm with the highest mean of a metric and the arms that do not differ significantly from it.

    The test is the report's: Student's paired t-test, two-sided at 5 %, with Holm's adjustment for the comparisons with
    the best arm. Without a pair of arms that can be tested, the set is empty.
    """
    means = {arm: summary.mean for arm in comparison.arms if (summary := summary_over_seeds(comparison, arm, key))}
    if not means:
        return set()
    best = max(means, key=means.__getitem__)
    values = {arm: values_by_pair(comparison.runs_of(arm), key) for arm in means}
    others = [arm for arm in means if arm != best]
    differences = [paired_difference(values[arm], values[best]) for arm in others]
    if all(difference.p is None for difference in differences):
        return set()
    adjusted = holm([difference.p for difference in differences])
    equal = {
        arm
        for arm, difference, p in zip(others, differences, adjusted, strict=True)
        if (difference.mean == 0 if p is None else p >= LEVEL)
    }
    return {best, *equal}


def differences_table(comparison: Comparison, contrasts: Contrasts) -> str:
    """Return the table of the differences from the baseline, in points; empty with one arm."""
    if not contrasts:
        return ""
    several = len(contrasts) > 1
    rows = []
    for arm, key in _pairs(comparison, contrasts):
        contrast = contrasts[arm][key]
        difference, speakers = contrast.difference, contrast.bootstrap_over_speakers
        mean = "--" if difference.mean is None else number(difference.mean, sign=True)
        rows.append(
            [
                escape(f"{arm} - {comparison.baseline}"),
                _title(key),
                bold(mean) if is_claimed(contrast, arms=len(contrasts)) else mean,
                interval(difference.interval),
                interval(speakers.interval if speakers else None),
                p_value(contrast.p["t"]),
                *([p_value(contrast.p_holm["t"])] if several else []),
            ]
        )
    return table(
        ["Arms", "Metric", "Mean", r"95\,\% over pairs", r"95\,\% over speakers", "$p$", *(["$p$ (Holm)"] * several)],
        rows,
        alignment="llrllr" + "r" * several,
        caption=_differences_caption(comparison, several=several),
        label=f"tab:{_label(comparison)}-differences",
    )


def _arms_caption(comparison: Comparison, any_bold: bool) -> str:
    unit = "seeds, each the mean over its folds" if comparison.folds else "seeds"
    text = rf"Test results in percent: mean and 95\,\% Student-$t$ interval over {unit}."
    if len(comparison.arms) == 1:
        return text
    if not any_bold:
        return text + " No difference between arms can be tested, so nothing is bold."
    holm_text = ", with Holm's adjustment for the comparisons with the best arm" if len(comparison.arms) > 2 else ""
    return (
        f"{text} Bold in each column: the highest mean, and the means that do not differ significantly from it "
        rf"(Student's $t$-test paired by {_pair(comparison)}, two-sided at {100 * LEVEL:g}\,\%{holm_text})."
    )


def _differences_caption(comparison: Comparison, *, several: bool) -> str:
    rule = (
        r"the 95\,\% interval over pairs excludes zero"
        + " and $p < 0.05$ after Holm's adjustment over the arms" * several
    )
    return (
        f"Differences in percentage points, paired by {_pair(comparison)}. The interval over pairs and $p$ are those "
        "of Student's paired $t$-test; the interval over speakers is a studentized bootstrap of speakers with all "
        f"pairs pooled. Bold: {rule}."
    )


def _test_measures(comparison: Comparison) -> list[str]:
    return [key for key in comparison.measures if key.startswith("test/")]


def _title(key: str) -> str:
    title = MEASURES[key].removeprefix("test ")
    return escape(title[0].upper() + title[1:])


def _pair(comparison: Comparison) -> str:
    return "seed and fold" if comparison.folds else "seed"


def _pairs(comparison: Comparison, contrasts: Contrasts) -> Iterator[tuple[str, str]]:
    return ((arm, key) for arm in contrasts for key in _test_measures(comparison))


def _label(comparison: Comparison) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in str(comparison.runs.name.iloc[0]))
