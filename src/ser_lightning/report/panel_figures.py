"""Figures that compare the arms of a sweep; sized to be readable on a narrow screen."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ser_lightning.metrics import Confusion
from ser_lightning.report.drawing import (
    COLORS,
    FAINT,
    GRID,
    SMALL,
    SOFT,
    STYLES,
    WIDTH,
    History,
    add_legend,
    arm_color,
    arm_handles,
    arm_marker,
    class_percent,
    draw_curve,
    finish_curves,
    label_classes,
    label_positions,
    new_figure,
    open_axes,
)
from ser_lightning.report.statistics import Pair

MOST_LABELS = 10  # with more pairs, their labels would overlap
SIDE_BY_SIDE = 40  # characters that fit below a panel without rotation
LISTENERS = (0, (4, 3))  # line style


def draw_pairs(values: Mapping[str, Mapping[Pair, float]], label: str, *, listeners: float | None) -> Figure:
    """Draw one point per run and a bar at the mean of each arm; lines join the runs of a pair in neighboring arms.

    Args:
        values: arm -> pair -> value
        label: label of the value axis
        listeners: accuracy of human listeners in the same unit, if known

    """
    figure = new_figure(WIDTH, 4.2)
    axes = figure.subplots()
    pairs = dict.fromkeys(pair for by_pair in values.values() for pair in by_pair)
    lines = {pair: [by_pair.get(pair, math.nan) for by_pair in values.values()] for pair in pairs}
    for line in lines.values():
        axes.plot(line, color=FAINT, linewidth=1, zorder=1)  # NaN breaks the line where an arm lacks the pair
    for x, by_pair in enumerate(values.values()):
        color = arm_color(x)
        axes.scatter([x] * len(by_pair), list(by_pair.values()), color=color, marker=arm_marker(x), s=32, zorder=3)
        axes.hlines(np.mean(list(by_pair.values())), x - 0.16, x + 0.16, color=color, linewidth=2.5, zorder=2)
    pair_name = "same seed" if all(isinstance(pair, int) for pair in pairs) else "same seed and fold"
    handles = [Line2D([], [], color=FAINT, label=pair_name)] if len(values) > 1 else []
    handles.append(Line2D([], [], color=SOFT, linewidth=2.5, label="mean"))
    if listeners is not None:
        handles.append(_draw_listeners(axes, listeners))
    if len(pairs) <= MOST_LABELS:
        ends = {pair: max((x, y) for x, y in enumerate(line) if not math.isnan(y)) for pair, line in lines.items()}
        _label_pairs(axes, ends)
    label_positions(axes, list(values), rotated=len(values) * max(map(len, values)) > SIDE_BY_SIDE)
    axes.set_xlim(-0.45, len(values) - 1 + 0.75)
    axes.set_ylabel(label)
    axes.grid(axis="y", color=GRID)
    open_axes(axes)
    add_legend(figure, handles, columns=3)
    return figure


def draw_curves(histories: Mapping[str, Sequence[History]], series: str, label: str, *, factor: float) -> Figure:
    """Draw a training curve per arm: the mean over its runs, with a band from the lowest to the highest run.

    Only epochs reached by all runs of an arm are drawn, so that every mean is over the same runs.

    Args:
        histories: arm -> history of each run: series name -> value per epoch
        series: name without subset, such as ``"loss"``; drawn for training (``train/loss``) and validation
        label: label of the value axis
        factor: scale factor applied to the values

    """
    figure = new_figure(WIDTH, 4.0)
    axes = figure.subplots()
    for number, runs in enumerate(histories.values()):
        for subset, _, style in STYLES:
            curves = [np.array(run.get(f"{subset}/{series}", ()), float) for run in runs]
            values = factor * np.stack([curve[: min(map(len, curves))] for curve in curves])
            draw_curve(axes, values.mean(axis=0), arm_color(number), style)
            if len(values) > 1:
                epochs = np.arange(1, values.shape[1] + 1)
                low, high = values.min(axis=0), values.max(axis=0)
                axes.fill_between(epochs, low, high, color=arm_color(number), alpha=0.18, linewidth=0)
    finish_curves(axes, label)
    handles: list[Line2D | Patch] = [*arm_handles(histories, marker="")]
    handles += [Line2D([], [], color=SOFT, linestyle=style, label=name) for _, name, style in STYLES[::-1]]
    handles.append(Patch(color=FAINT, alpha=0.5, label="lowest to highest run"))
    add_legend(figure, handles, columns=3)
    return figure


def draw_confusion(matrix: Confusion, labels: Sequence[str]) -> Figure:
    """Draw a confusion matrix in percent of each true class.

    Args:
        matrix: ``(C, C)`` counts, true classes in rows
        labels: name of each class

    """
    share = class_percent(matrix)
    texts = np.where(share > 0, np.char.mod("%.0f", share), "")
    return _matrix_panel(share / 100, np.full(share.shape, COLORS[0]), texts, labels)


def draw_confusion_difference(arm: Confusion, baseline: Confusion, labels: Sequence[str]) -> Figure:
    """Draw the difference of two confusion matrices in points: blue where the arm is higher, orange where lower.

    Args:
        arm: ``(C, C)`` counts, true classes in rows
        baseline: ``(C, C)`` counts, true classes in rows
        labels: name of each class

    """
    points = class_percent(arm) - class_percent(baseline)
    largest = max(1.0, float(np.abs(points).max()))
    texts = np.where(np.abs(points) >= 0.5, np.char.mod("%+.0f", points), "")
    colors = np.where(points > 0, COLORS[0], COLORS[1])
    # Full color marks the largest difference, but at least 20 points, so that small differences stay pale.
    return _matrix_panel(np.abs(points) / max(largest, 20), colors, texts, labels)


def draw_accuracies(accuracies: pd.DataFrame, listeners: Mapping[str, float]) -> Figure:
    """Draw the accuracy on each part of the test set: one dot per arm, a dashed line for human listeners.

    Args:
        accuracies: percent, one row per part, one column per arm
        listeners: part -> percent of human listeners, where known

    """
    parts, arms = list(accuracies.index), list(accuracies.columns)
    figure = new_figure(WIDTH, 1.3 + 0.34 * len(parts))
    axes = figure.subplots()
    for number, arm in enumerate(arms):
        rows = np.arange(len(parts)) + 0.5 * (number - (len(arms) - 1) / 2) / max(3, len(arms))
        axes.scatter(accuracies[arm], rows, color=arm_color(number), marker=arm_marker(number), s=30, zorder=3)
    for row, part in enumerate(parts):
        if part in listeners:
            axes.vlines(listeners[part], row - 0.42, row + 0.42, color=SOFT, linestyle=LISTENERS, linewidth=1.6)
    axes.set_yticks(range(len(parts)), parts)
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("correct (%)")
    axes.grid(color=GRID)
    open_axes(axes)
    handles = arm_handles(arms, linestyle="")
    if listeners:
        handles.append(Line2D([], [], color=SOFT, linestyle=LISTENERS, label="human listeners"))
    add_legend(figure, handles, columns=4)
    return figure


def _matrix_panel(
    strength: NDArray[np.float64], colors: NDArray[np.str_], texts: NDArray[np.str_], labels: Sequence[str]
) -> Figure:
    figure = new_figure(WIDTH, 4.4)
    axes = figure.subplots()
    # Color intensity is encoded as opacity, which works on white paper and on a dark page.
    pixels = np.empty((*strength.shape, 4))
    for cell, color in np.ndenumerate(colors):
        pixels[cell] = (*to_rgb(str(color)), min(1.0, float(strength[cell])))
    axes.imshow(pixels)
    for (row, column), text in np.ndenumerate(texts):
        ink = "white" if strength[row, column] > 0.5 else "black"
        axes.text(column, row, str(text), ha="center", va="center", color=ink, fontsize=SMALL)
    label_classes(axes, labels)
    return figure


def _draw_listeners(axes: Axes, listeners: float) -> Line2D:
    """Draw the accuracy of human listeners and return its legend entry.

    An arrow at the edge of the axes replaces a line that would leave the runs less than half of the height.
    """
    low, high = axes.get_ylim()
    label = f"human listeners, {listeners:g} %"
    if 2 * low - high <= listeners <= 2 * high - low:
        axes.axhline(listeners, color=SOFT, linestyle=LISTENERS, linewidth=1.2, zorder=0)
        return Line2D([], [], color=SOFT, linestyle=LISTENERS, linewidth=1.2, label=label)
    edge, marker, where = (0, "v", "below") if listeners < low else (1, "^", "above")
    axes.plot(0.97, edge, color=SOFT, marker=marker, markersize=8, transform=axes.transAxes, clip_on=False)
    return Line2D([], [], color=SOFT, marker=marker, linestyle="", label=f"{label}, {where}")


def _label_pairs(axes: Axes, ends: Mapping[Pair, tuple[float, float]]) -> None:
    """Label each line at its right end, with labels moved apart as little as possible."""
    low, high = axes.get_ylim()
    gap = 0.05 * (high - low)
    for end in sorted({x for x, _ in ends.values()}):
        here = sorted((y, pair) for pair, (x, y) in ends.items() if x == end)
        steps = gap * np.arange(len(here))
        heights = isotonic_regression(np.array([y for y, _ in here]) - steps).x + steps
        for height, (_, pair) in zip(heights, here, strict=True):
            name = f"seed {pair}" if isinstance(pair, int) else f"{pair[0]}, fold {pair[1]}"
            axes.text(end + 0.2, height, name, va="center", fontsize=SMALL, color=SOFT)
