"""Reliability diagram and risk-coverage curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ser_lightning.report.drawing import (
    COLORS,
    FAINT,
    GRID,
    SMALL,
    SOFT,
    WIDTH,
    add_legend,
    arm_color,
    arm_handles,
    arm_marker,
    new_figure,
    open_axes,
)

STAGES = {"before": ("D", COLORS[1]), "after": ("o", COLORS[0])}  # marker and color before and after calibration
Bins = Mapping[str, Sequence[float]]


def calibration_figure(section: Mapping[str, Any], title: str) -> Figure:
    """Draw the reliability before and after calibration, and the risk-coverage curve, of the clips of a subset.

    Args:
        section: ``calibration.<subset>`` of a result
        title: title of the figure

    """
    figure = new_figure(9, 4.3)
    left, right = figure.subplots(1, 2)
    handles: list[Line2D] = []
    for stage, (marker, color) in STAGES.items():
        _draw_reliability(left, section["reliability"][stage], color=color, marker=marker)
        error = 100 * section[stage]["ece"]
        handles.append(Line2D([], [], color=color, marker=marker, label=f"{stage} calibration, ECE {error:.1f} %"))
    _finish_reliability(left)
    left.legend(handles=handles, frameon=False, fontsize=SMALL, loc="upper left")
    _draw_risk(right, section["risk_coverage"], color=COLORS[0])
    _finish_risk(right)
    figure.suptitle(title)
    return figure


def draw_reliability(arms: Mapping[str, Sequence[Mapping[str, Any]]], stage: str) -> Figure:
    """Draw the reliability of each arm: bin by bin the mean over its runs.

    Args:
        arms: arm -> ``calibration.test`` of each run
        stage: ``before`` or ``after`` calibration

    """
    figure = new_figure(WIDTH, 4.6)
    axes = figure.subplots()
    for number, sections in enumerate(arms.values()):
        bins = [section["reliability"][stage] for section in sections]
        fewest = min(len(run_bins["clips"]) for run_bins in bins)
        mean = {
            key: np.mean([run_bins[key][:fewest] for run_bins in bins], axis=0) for key in ("confidence", "accuracy")
        }
        _draw_reliability(axes, mean, color=arm_color(number), marker=arm_marker(number))
    _finish_reliability(axes)
    add_legend(figure, arm_handles(arms), columns=4)
    return figure


def draw_risk_coverage(arms: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw the mean risk-coverage curve of each arm.

    Args:
        arms: arm -> ``calibration.test`` of each run

    """
    figure = new_figure(WIDTH, 4.6)
    axes = figure.subplots()
    coverage = np.linspace(0.02, 1, 50)
    for number, sections in enumerate(arms.values()):
        curves = [section["risk_coverage"] for section in sections]
        risk = np.mean([np.interp(coverage, curve["coverage"], curve["risk"]) for curve in curves], axis=0)
        _draw_risk(axes, {"coverage": coverage, "risk": risk}, color=arm_color(number))
    _finish_risk(axes)
    add_legend(figure, arm_handles(arms), columns=4)
    return figure


def _draw_reliability(axes: Axes, bins: Mapping[str, Any], *, color: str, marker: str) -> None:
    confidence, accuracy = (100 * np.asarray(bins[key]) for key in ("confidence", "accuracy"))
    axes.plot(confidence, accuracy, color=color, marker=marker, markersize=4, linewidth=1.4)


def _finish_reliability(axes: Axes) -> None:
    axes.plot([0, 100], [0, 100], color=SOFT, linestyle="--", linewidth=1, zorder=0)
    axes.annotate("calibrated", (4, 7), ha="left", va="bottom", rotation=45, fontsize=SMALL, color=SOFT)
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.set_aspect("equal")
    axes.set_xlabel("probability of the answer (%)")
    axes.set_ylabel("correct answers (%)")
    axes.grid(color=GRID)
    open_axes(axes)


def _draw_risk(axes: Axes, curve: Mapping[str, Any], *, color: str) -> None:
    coverage, risk = (100 * np.asarray(curve[key]) for key in ("coverage", "risk"))
    axes.plot(coverage, risk, color=color, linewidth=1.6)
    axes.hlines(risk[-1], 0, 100, color=FAINT, linestyle=":", linewidth=1, zorder=0)


def _finish_risk(axes: Axes) -> None:
    axes.set_xlim(0, 102)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("recordings answered, the most certain first (%)")
    axes.set_ylabel("wrong answers among them (%)")
    axes.grid(color=GRID)
    open_axes(axes)
