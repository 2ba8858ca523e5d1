"""Panels of a report: the figures of a comparison with their headings."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ser_lightning.report import panel_figures
from ser_lightning.report.arms import Comparison
from ser_lightning.report.calibration_figures import draw_reliability, draw_risk_coverage
from ser_lightning.report.contrasts import pooled_confusion, values_by_pair
from ser_lightning.report.drawing import PANELS
from ser_lightning.report.parts import LISTENERS, PARTS, accuracy_of_parts, is_ravdess
from ser_lightning.report.render import Panel
from ser_lightning.report.robustness_figures import draw_robustness
from ser_lightning.report.runs import HEADLINE, MEASURES

MOST_DIFFERENCES = 6  # panels of confusion differences; further arms appear in the tables only


def draw_panels(comparison: Comparison) -> dict[str, Panel]:
    """Draw all figures of a report."""
    histories = {arm: list(comparison.runs_of(arm).history) for arm in comparison.arms}
    panels = {"paired": paired_panel(comparison)}
    panels |= {
        series: Panel(
            f"{series.upper() if series == 'uar' else series.capitalize()}, training and validation",
            panel_figures.draw_curves(histories, series, label, factor=factor),
        )
        for series, label, factor in PANELS
    }
    parts = pd.concat([accuracy_of_parts(comparison, column) for column in ("target", *PARTS)])
    listeners = LISTENERS["by_intensity"] if is_ravdess(comparison) else {}
    panels["recall"] = Panel("Accuracy by part of the test set", panel_figures.draw_accuracies(parts, listeners))
    counts = {arm: pooled_confusion(comparison, arm) for arm in comparison.arms}
    for number, (arm, matrix) in enumerate(counts.items()):
        runs = len(comparison.runs_of(arm))
        heading = f"{arm} ({runs} run{'s' if runs > 1 else ''})"
        panels[f"confusion-{number}"] = Panel(heading, panel_figures.draw_confusion(matrix, comparison.emotions))
    panels |= calibration_panels(comparison)
    baseline, *others = counts
    for number, arm in enumerate(others[:MOST_DIFFERENCES], 1):
        figure = panel_figures.draw_confusion_difference(counts[arm], counts[baseline], comparison.emotions)
        panels[f"confusion-{number}-less-0"] = Panel(f"{arm} - {baseline}, points", figure)
    return panels


def robustness_panels(tables: Mapping[str, pd.DataFrame], emotions: Sequence[str]) -> dict[str, Panel]:
    """Draw the UAR under conditions of recording."""
    drawn = draw_robustness(tables, chance=100 / len(emotions))
    return {
        f"robustness-{number}": Panel(f"UAR by condition of recording ({number} of {len(drawn)})", figure)
        for number, figure in enumerate(drawn, 1)
    }


def calibration_panels(comparison: Comparison) -> dict[str, Panel]:
    """Draw reliability and risk by coverage; nothing unless all runs are calibrated."""
    sections = comparison.runs.calibration
    if not all(section.get("fitted") and "test" in section for section in sections):
        return {}
    arms = {arm: [section["test"] for section in comparison.runs_of(arm).calibration] for arm in comparison.arms}
    return {
        "reliability-before": Panel("Reliability before calibration", draw_reliability(arms, "before")),
        "reliability-after": Panel("Reliability after calibration", draw_reliability(arms, "after")),
        "risk": Panel("Errors by answered share", draw_risk_coverage(arms)),
    }


def paired_panel(comparison: Comparison) -> Panel:
    """Draw the test accuracy of every run."""
    values = {arm: values_by_pair(comparison.runs_of(arm), HEADLINE) for arm in comparison.arms}
    listeners = LISTENERS["accuracy"] if is_ravdess(comparison) else None
    title = MEASURES[HEADLINE]
    figure = panel_figures.draw_pairs(values, f"{title} (%)", listeners=listeners)
    return Panel(f"{title.capitalize()} of every run", figure)
