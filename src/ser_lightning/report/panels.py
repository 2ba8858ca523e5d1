"""Figure panels of a report, sized to be readable on a narrow screen and as separate files."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ser_lightning.metrics import Confusion
from ser_lightning.report.drawing import (
    COLOURS,
    FAINT,
    GRID,
    SOFT,
    STYLES,
    History,
    colour_of,
    draw_line,
    finish_curves,
    label_classes,
    name_places,
    new_figure,
    open_axes,
)
from ser_lightning.report.statistics import Pair

WIDTH = 4.7  # inches, about the width of a phone screen
LABELLED = 10  # with more pairs, their labels would overlap
SMALL = 9
SIDE_BY_SIDE = 40  # characters that fit below a panel without rotation


def paired_panel(values: Mapping[str, Mapping[Pair, float]], label: str, *, listeners: float | None) -> Figure:
    """Draw one point per run, a line joining the arms of each pair, and a bar at the mean of each arm.

    Args:
        values: arm -> pair -> value
        label: label of the value axis
        listeners: accuracy of human listeners in the same unit, if known

    """
    figure = new_figure(WIDTH, 4.2)
    axes = figure.subplots()
    ends: dict[Pair, tuple[float, float]] = {}
    for pair in dict.fromkeys(pair for by_pair in values.values() for pair in by_pair):
        points = [(x, by_pair[pair]) for x, by_pair in enumerate(values.values()) if pair in by_pair]
        axes.plot(*zip(*points, strict=True), color=FAINT, linewidth=1.2, zorder=1)
        ends[pair] = points[-1]
    for x, by_pair in enumerate(values.values()):
        axes.scatter([x] * len(by_pair), list(by_pair.values()), color=colour_of(x), s=32, zorder=3)
        mean = float(np.mean(list(by_pair.values())))
        axes.hlines(mean, x - 0.16, x + 0.16, color=colour_of(x), linewidth=2.5, zorder=2)
    handles = [
        Line2D([], [], color=FAINT, marker="o", label="same seed"),
        Line2D([], [], color=SOFT, linewidth=2.5, label="mean"),
    ]
    if listeners is not None:
        handles.append(_draw_listeners(axes, listeners))
    if len(ends) <= LABELLED:
        _label_pairs(axes, ends)
    name_places(axes, list(values), aslant=len(values) * max(map(len, values)) > SIDE_BY_SIDE)
    axes.set_xlim(-0.45, len(values) - 1 + 0.75)
    axes.set_ylabel(label)
    axes.grid(axis="y", color=GRID)
    open_axes(axes)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def curves_panel(histories: Mapping[str, Sequence[History]], series: str, label: str, *, factor: float) -> Figure:
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
            values = factor * _stack(runs, f"{subset}/{series}")
            draw_line(axes, values.mean(axis=0), colour=colour_of(number), style=style)
            if len(values) > 1:
                epochs = np.arange(1, values.shape[1] + 1)
                low, high = values.min(axis=0), values.max(axis=0)
                axes.fill_between(epochs, low, high, color=colour_of(number), alpha=0.18, linewidth=0)
    finish_curves(axes, label)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour_of(number), label=arm) for number, arm in enumerate(histories)
    ]
    handles += [Line2D([], [], color=SOFT, linestyle=style, label=name) for _, name, style in STYLES[::-1]]
    handles.append(Patch(color=FAINT, alpha=0.5, label="lowest to highest run"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def confusion_panel(matrix: Confusion, labels: Sequence[str]) -> Figure:
    """Draw a confusion matrix in percent of each true class.

    Args:
        matrix: ``(C, C)`` counts, true classes in rows
        labels: name of each class

    """
    share = _percent(matrix)
    texts = np.where(share > 0, np.char.mod("%.0f", share), "")
    return _matrix_panel(share / 100, np.full(share.shape, COLOURS[0]), texts, labels)


def difference_panel(arm: Confusion, baseline: Confusion, labels: Sequence[str]) -> Figure:
    """Draw the difference of two confusion matrices in points: blue where the arm is higher, orange where lower.

    Args:
        arm: ``(C, C)`` counts, true classes in rows
        baseline: ``(C, C)`` counts, true classes in rows
        labels: name of each class

    """
    points = _percent(arm) - _percent(baseline)
    largest = max(1.0, float(np.abs(points).max()))
    texts = np.where(np.abs(points) >= 0.5, np.char.mod("%+.0f", points), "")
    colours = np.where(points > 0, COLOURS[0], COLOURS[1])
    # Full color marks the largest difference, but at least 20 points, so that small differences stay pale.
    return _matrix_panel(np.abs(points) / max(largest, 20), colours, texts, labels)


def shares_panel(
    shares: Mapping[str, Sequence[float | None]], arms: Sequence[str], listeners: Mapping[str, float]
) -> Figure:
    """Draw the accuracy on each part of the test set: one dot per arm, a dashed line for human listeners.

    Args:
        shares: part -> percent of each arm
        arms: names of the arms
        listeners: part -> percent of human listeners, where known

    """
    figure = new_figure(WIDTH, 1.3 + 0.34 * len(shares))
    axes = figure.subplots()
    for row, (part, values) in enumerate(shares.items()):
        for number, value in enumerate(values):
            y = row + 0.5 * (number - (len(values) - 1) / 2) / max(3, len(values))
            if value is not None:
                axes.scatter([value], [y], color=colour_of(number), s=30, zorder=3)
        if part in listeners:
            axes.vlines(listeners[part], row - 0.42, row + 0.42, color=SOFT, linestyle=(0, (3, 2)), linewidth=1.6)
    axes.set_yticks(range(len(shares)), list(shares))
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("recognised (%)")
    axes.grid(color=GRID)
    open_axes(axes)
    handles = [
        Line2D([], [], color=colour_of(number), marker="o", linestyle="", label=arm) for number, arm in enumerate(arms)
    ]
    if listeners:
        handles.append(Line2D([], [], color=SOFT, linestyle=(0, (3, 2)), label="human listeners"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL)
    return figure


def _draw_listeners(axes: Axes, value: float) -> Line2D:
    style = (0, (4, 3))
    axes.axhline(value, color=SOFT, linestyle=style, linewidth=1.2, zorder=0)
    return Line2D([], [], color=SOFT, linestyle=style, linewidth=1.2, label=f"human listeners, {value:g} %")


def _matrix_panel(
    strength: NDArray[np.float64], colours: NDArray[np.str_], texts: NDArray[np.str_], labels: Sequence[str]
) -> Figure:
    figure = new_figure(WIDTH, 4.4)
    axes = figure.subplots()
    # Color intensity is encoded as opacity, which works on white paper and on a dark page.
    pixels = np.empty((*strength.shape, 4))
    for cell, colour in np.ndenumerate(colours):
        pixels[cell] = (*to_rgb(str(colour)), min(1.0, float(strength[cell])))
    axes.imshow(pixels)
    for (row, column), text in np.ndenumerate(texts):
        ink = "white" if strength[row, column] > 0.5 else "black"
        axes.text(column, row, str(text), ha="center", va="center", color=ink, fontsize=SMALL)
    label_classes(axes, labels)
    return figure


def _percent(matrix: Confusion) -> NDArray[np.float64]:
    percent: NDArray[np.float64] = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return percent


def _stack(runs: Sequence[History], series: str) -> NDArray[np.float64]:
    values = [np.array(run.get(series, ()), float) for run in runs]
    epochs = min(len(row) for row in values)
    return np.stack([row[:epochs] for row in values])


def _label_pairs(axes: Axes, ends: Mapping[Pair, tuple[float, float]]) -> None:
    """Label each line at its right end, and move labels apart where lines end close together."""
    low, high = axes.get_ylim()
    gap = 0.05 * (high - low)
    for end in sorted({x for x, _ in ends.values()}):
        below = -np.inf
        for pair, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
            if x == end:
                below = max(y, below + gap)
                name = f"seed {pair}" if isinstance(pair, int) else f"{pair[0]}, fold {pair[1]}"
                axes.text(x + 0.2, below, name, va="center", fontsize=SMALL, color=SOFT)
