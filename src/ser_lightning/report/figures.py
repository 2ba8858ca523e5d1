"""Figures of a run and of a study, and the conversion of figures to PNG and SVG."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from ser_lightning.atomic import write_atomically
from ser_lightning.metrics import Confusion
from ser_lightning.report.drawing import (
    COLORS,
    FAINT,
    GRID,
    INK,
    PANELS,
    SMALL,
    SOFT,
    STYLES,
    History,
    add_legend,
    arm_color,
    arm_handles,
    class_percent,
    draw_curve,
    finish_curves,
    label_classes,
    new_figure,
    open_axes,
)
from ser_lightning.report.statistics import PairedDifference

DPI = 150
# Colors chosen for white paper -> the CSS variables of the page that replace them.
INKS = {INK: "--ink", SOFT: "--ink", FAINT: "--faint", GRID: "--line"}


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
    share = class_percent(matrix)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if share[row, column] > 55 else "black" if count else "0.65"
        axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=SMALL)
    label_classes(axes, labels)
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
            draw_curve(axes, factor * np.array(history.get(f"{subset}/{series}", ()), float), color, style)
        finish_curves(axes, label)
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
    series = list(
        dict.fromkeys(name for rows in panels.values() for differences in rows.values() for name in differences)
    )
    figure = new_figure(2.2 + 4.2 * len(panels), 1.6 + 0.42 * len(names))
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, (title, rows) in zip(grid.flat, panels.items(), strict=True):
        for row, differences in rows.items():
            for number, name in enumerate(series):
                if name in differences:
                    # The series of one row are stacked symmetrically around the row's line.
                    _draw_difference(
                        axes, differences[name], names.index(row) + 0.24 * (number - (len(series) - 1) / 2), number
                    )
        axes.axvline(0, color="0.5", linewidth=1, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=GRID)
        open_axes(axes)
        axes.set_title(title, fontsize="medium")
    add_legend(figure, arm_handles(series, marker="o"), columns=len(series))
    return figure


def _draw_difference(axes: Axes, difference: PairedDifference, y: float, number: int) -> None:
    if difference.interval is not None:
        axes.hlines(y, *difference.interval, color=arm_color(number), linewidth=1.8)
    if difference.mean is not None:
        axes.scatter([difference.mean], [y], color=arm_color(number), s=26, zorder=3)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically.

    Args:
        figure: any figure of this module
        path: target file; its parent folders are created

    """
    _fix_layout(figure)
    figure.patch.set_facecolor("white")
    figure.dpi = DPI
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    with write_atomically(path, "wb") as file:
        # Unlike savefig, it draws once. Without matplotlib's version in the metadata, equal figures give equal bytes.
        canvas.print_png(file, metadata={"Software": None})


def svg(figure: Figure, *, name: str, title: str) -> str:
    """Return a figure as an SVG element for an HTML page, with the text and line colors of the page.

    Args:
        figure: any figure without a background of its own
        name: a name that is unique in the page; prefixes the ids inside the SVG
        title: description of the figure for screen readers

    """
    _fix_layout(figure)
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_facecolor("none")
    canvas: Any = FigureCanvasSVG(figure)
    file = io.StringIO()
    # Keep text as text; the fixed salt makes equal figures give equal SVG.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        canvas.print_svg(file, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(?<=\bid=")|(?<=url\(#)|(?<=href="#)', f"{name}-", text)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', r"\1\2", text, count=1)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"([^>]*?) height="[^"]*"', r"\1\2", text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
    for color, variable in INKS.items():
        text = text.replace(color, f"var({variable})")
    return text.strip()


def _fix_layout(figure: Figure) -> None:
    """Compute the layout of a figure, which takes as long as drawing it, once for all formats."""
    layout = figure.get_layout_engine()
    if isinstance(layout, ConstrainedLayoutEngine):
        layout.execute(figure)
        figure.set_layout_engine("none")
