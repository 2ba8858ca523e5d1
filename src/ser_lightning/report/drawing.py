"""Shared drawing code of the figures: colors, line styles and axes.

Figures use neither windows nor matplotlib's global state, so they can be made in any process and thread. The colors are
those of Okabe & Ito (2008), which color-blind readers can tell apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# Colors on white paper; an HTML page replaces them by its own (see :func:`ser_lightning.report.figures.svg`).
INK, SOFT, FAINT, GRID = "#000000", "#4d4d4d", "#999999", "#e5e5e5"
History = Mapping[str, Sequence[float]]
PANELS = (("loss", "loss", 1), ("uar", "UAR (%)", 100))  # series, axis label, factor
Style = Literal["-", "--"]
STYLES: tuple[tuple[str, str, Style], ...] = (("train", "training", "--"), ("val", "validation", "-"))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.05))
    FigureCanvasAgg(figure)
    return figure


def colour_of(number: int) -> str:
    """Return the color of the arm with the given number; colors repeat after the last one."""
    return COLOURS[number % len(COLOURS)]


def draw_line(axes: Axes, values: NDArray[np.float64], *, colour: str, style: Style) -> None:
    """Draw one value per epoch, from epoch 1."""
    marker = "o" if len(values) < 4 else ""  # a line of one point would be invisible
    axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=style, marker=marker, linewidth=1.6)


def finish_curves(axes: Axes, label: str) -> None:
    """Label the axes of curves over epochs and add a grid."""
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID)
    open_axes(axes)


def name_places(axes: Axes, names: Sequence[str], *, aslant: bool) -> None:
    """Label the positions 0, 1, 2 ... of the horizontal axis, rotated by 45 degrees if ``aslant``."""
    style: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if aslant else {}
    axes.set_xticks(range(len(names)), names, **style)


def label_classes(axes: Axes, labels: Sequence[str]) -> None:
    """Label the rows and columns of a confusion matrix."""
    name_places(axes, labels, aslant=True)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted emotion")
    axes.set_ylabel("true emotion")


def open_axes(axes: Axes) -> None:
    """Remove the top and right frame of the axes."""
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
