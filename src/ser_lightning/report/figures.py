"""Figures of a run and of a report, and their conversion to PNG and SVG.

Figures use neither windows nor matplotlib's global state, so they can be made in any process and thread. The colors are
those of Okabe & Ito (2008), which color-blind readers can tell apart. Panels of a report are sized to be readable on a
narrow screen.
"""

import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ser_lightning.atomic import write_atomically
from ser_lightning.metrics import Confusion
from ser_lightning.report.statistics import Pair, PairedDifference

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, SOFT, FAINT, GRID = "#000000", "#4d4d4d", "#999999", "#e5e5e5"
# Colors chosen for white paper -> the CSS variables of the page that replace them.
INKS = {INK: "--ink", SOFT: "--ink", FAINT: "--faint", GRID: "--line"}
DPI = 150
WIDTH = 4.7  # inches, about the width of a phone screen
SMALL = 9  # points
MOST_LABELS = 10  # with more pairs, their labels would overlap
SIDE_BY_SIDE = 40  # characters that fit below a panel without rotation
LISTENERS = (0, (4, 3))  # line style
History = Mapping[str, Sequence[float]]
PANELS = (("loss", "loss", 1), ("uar", "UAR (%)", 100))  # series, axis label, factor
Style = Literal["-", "--"]
STYLES: tuple[tuple[str, str, Style], ...] = (("train", "training", "--"), ("val", "validation", "-"))


def confusion_figure(matrix: Confusion, labels: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix with counts as numbers and the share of each true class as color.

    Args:
        matrix: ``(C, C)`` counts, true classes in rows
        labels: name of each class
        title: title of the figure

    """
    side = 2.2 + 0.55 * len(labels)
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    share = _percent(matrix)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if share[row, column] > 55 else "black" if count else "0.65"
        axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=SMALL)
    _label_classes(axes, labels)
    axes.set_title(title)
    bar = figure.colorbar(image, ax=[axes], shrink=0.8, aspect=25)
    bar.set_label("share of the true emotion (%)")
    bar.outline.set_visible(False)
    return figure


def curves_figure(history: History, title: str) -> Figure:
    """Draw the loss and the UAR of one run over its epochs.

    Args:
        history: series name (``train/loss``, ``val/uar``, ...) -> value per epoch, UAR as a fraction
        title: title of the figure

    """
    figure = new_figure(9, 3.8)
    for axes, (series, label, factor) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for (subset, _, style), color in zip(STYLES, COLORS, strict=False):
            _draw_curve(axes, factor * np.array(history.get(f"{subset}/{series}", ()), float), color, style)
        _finish_curves(axes, label)
    handles = [
        Line2D([], [], color=color, linestyle=style, label=name)
        for (_, name, style), color in zip(STYLES, COLORS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    return figure


def forest_figure(panels: Mapping[str, Mapping[str, Mapping[str, PairedDifference]]], label: str) -> Figure:
    """Draw a forest plot: one row per difference with its interval, panels side by side, and a line at zero.

    A difference without an interval is drawn as a dot only.

    Args:
        panels: title -> row -> series -> difference
        label: label of the axis of differences

    """
    names = list(dict.fromkeys(row for rows in panels.values() for row in rows))
    series = list(dict.fromkeys(name for rows in panels.values() for found in rows.values() for name in found))
    figure = new_figure(2.2 + 4.2 * len(panels), 1.6 + 0.42 * len(names))
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, (title, rows) in zip(grid.flat, panels.items(), strict=True):
        for row, found in rows.items():
            for number, name in enumerate(series):
                if name in found:
                    # The series of one row are stacked symmetrically around the row's line.
                    _draw_difference(
                        axes, found[name], names.index(row) + 0.24 * (number - (len(series) - 1) / 2), number
                    )
        axes.axvline(0, color="0.5", linewidth=1, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=GRID)
        open_axes(axes)
        axes.set_title(title, fontsize="medium")
    handles = [Line2D([], [], color=_color(number), marker="o", label=name) for number, name in enumerate(series)]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)), frameon=False)
    return figure


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
        axes.scatter([x] * len(by_pair), list(by_pair.values()), color=_color(x), s=32, zorder=3)
        axes.hlines(np.mean(list(by_pair.values())), x - 0.16, x + 0.16, color=_color(x), linewidth=2.5, zorder=2)
    handles = [
        Line2D([], [], color=FAINT, marker="o", label="same seed"),
        Line2D([], [], color=SOFT, linewidth=2.5, label="mean"),
    ]
    if listeners is not None:
        axes.axhline(listeners, color=SOFT, linestyle=LISTENERS, linewidth=1.2, zorder=0)
        label_of_line = f"human listeners, {listeners:g} %"
        handles.append(Line2D([], [], color=SOFT, linestyle=LISTENERS, linewidth=1.2, label=label_of_line))
    if len(ends) <= MOST_LABELS:
        _label_pairs(axes, ends)
    label_positions(axes, list(values), rotated=len(values) * max(map(len, values)) > SIDE_BY_SIDE)
    axes.set_xlim(-0.45, len(values) - 1 + 0.75)
    axes.set_ylabel(label)
    axes.grid(axis="y", color=GRID)
    open_axes(axes)
    _add_legend(figure, handles, columns=3)
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
            curves = [np.array(run.get(f"{subset}/{series}", ()), float) for run in runs]
            values = factor * np.stack([curve[: min(map(len, curves))] for curve in curves])
            _draw_curve(axes, values.mean(axis=0), _color(number), style)
            if len(values) > 1:
                epochs = np.arange(1, values.shape[1] + 1)
                low, high = values.min(axis=0), values.max(axis=0)
                axes.fill_between(epochs, low, high, color=_color(number), alpha=0.18, linewidth=0)
    _finish_curves(axes, label)
    handles: list[Line2D | Patch] = [Line2D([], [], color=_color(n), label=arm) for n, arm in enumerate(histories)]
    handles += [Line2D([], [], color=SOFT, linestyle=style, label=name) for _, name, style in STYLES[::-1]]
    handles.append(Patch(color=FAINT, alpha=0.5, label="lowest to highest run"))
    _add_legend(figure, handles, columns=3)
    return figure


def confusion_panel(matrix: Confusion, labels: Sequence[str]) -> Figure:
    """Draw a confusion matrix in percent of each true class.

    Args:
        matrix: ``(C, C)`` counts, true classes in rows
        labels: name of each class

    """
    share = _percent(matrix)
    texts = np.where(share > 0, np.char.mod("%.0f", share), "")
    return _matrix_panel(share / 100, np.full(share.shape, COLORS[0]), texts, labels)


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
    colors = np.where(points > 0, COLORS[0], COLORS[1])
    # Full color marks the largest difference, but at least 20 points, so that small differences stay pale.
    return _matrix_panel(np.abs(points) / max(largest, 20), colors, texts, labels)


def accuracy_panel(accuracies: pd.DataFrame, listeners: Mapping[str, float]) -> Figure:
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
        axes.scatter(accuracies[arm], rows, color=_color(number), s=30, zorder=3)
    for row, part in enumerate(parts):
        if part in listeners:
            axes.vlines(listeners[part], row - 0.42, row + 0.42, color=SOFT, linestyle=LISTENERS, linewidth=1.6)
    axes.set_yticks(range(len(parts)), parts)
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("correct (%)")
    axes.grid(color=GRID)
    open_axes(axes)
    handles = [Line2D([], [], color=_color(n), marker="o", linestyle="", label=arm) for n, arm in enumerate(arms)]
    if listeners:
        handles.append(Line2D([], [], color=SOFT, linestyle=LISTENERS, label="human listeners"))
    _add_legend(figure, handles, columns=4)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically.

    Args:
        figure: any figure of this module
        path: target file; its parent folders are created

    """
    with write_atomically(path, "wb") as file:
        # Without the matplotlib version in the metadata, equal figures give equal bytes.
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})


def svg(figure: Figure, *, name: str, title: str) -> str:
    """Return a figure as an SVG element for an HTML page, with the text and line colors of the page.

    Args:
        figure: any figure without a background of its own
        name: a name that is unique in the page; prefixes the ids inside the SVG
        title: description of the figure for screen readers

    """
    file = io.StringIO()
    # Keep text as text; the fixed salt makes equal figures give equal SVG.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(?<=\bid=")|(?<=url\(#)|(?<=href="#)', f"{name}-", text)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', r"\1\2", text, count=1)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"([^>]*?) height="[^"]*"', r"\1\2", text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
    for color, variable in INKS.items():
        text = text.replace(color, f"var({variable})")
    return text.strip()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.05))
    FigureCanvasAgg(figure)
    return figure


def _color(number: int) -> str:
    """Return the color of the arm with the given number; colors repeat after the last one."""
    return COLORS[number % len(COLORS)]


def _draw_curve(axes: Axes, values: NDArray[np.float64], color: str, style: Style) -> None:
    marker = "o" if len(values) < 4 else ""  # a line of one point would be invisible
    axes.plot(np.arange(1, len(values) + 1), values, color=color, linestyle=style, marker=marker, linewidth=1.6)


def _draw_difference(axes: Axes, difference: PairedDifference, y: float, number: int) -> None:
    if difference.interval is not None:
        axes.hlines(y, *difference.interval, color=_color(number), linewidth=1.8)
    if difference.mean is not None:
        axes.scatter([difference.mean], [y], color=_color(number), s=26, zorder=3)


def _finish_curves(axes: Axes, label: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID)
    open_axes(axes)


def _add_legend(figure: Figure, handles: Sequence[Line2D | Patch], *, columns: int) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=SMALL)


def label_positions(axes: Axes, names: Sequence[str], *, rotated: bool) -> None:
    """Label the positions 0, 1, 2 ... of the horizontal axis."""
    style: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if rotated else {}
    axes.set_xticks(range(len(names)), names, **style)


def _label_classes(axes: Axes, labels: Sequence[str]) -> None:
    """Label the rows and columns of a confusion matrix."""
    label_positions(axes, labels, rotated=True)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted emotion")
    axes.set_ylabel("true emotion")


def open_axes(axes: Axes) -> None:
    """Remove the top and right frame of the axes."""
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


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
    _label_classes(axes, labels)
    return figure


def _percent(matrix: Confusion) -> NDArray[np.float64]:
    percent: NDArray[np.float64] = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return percent


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
