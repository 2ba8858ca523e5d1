"""Style and elements shared by all figures.

Figures use neither windows nor matplotlib's global state, so they can be made in any process and thread. The colors are
those of Okabe & Ito (2008), which color-blind readers can tell apart, with a dark red in place of their yellow, which
is too pale on white paper.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ser_lightning.metrics import Confusion

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#B04040")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, SOFT, FAINT, GRID = "#000000", "#4d4d4d", "#999999", "#e5e5e5"
WIDTH = 4.7  # inches, about the width of a phone screen
SMALL = 9  # points
ONE_ROW = 0.3  # inches, height of a legend of one row
History = Mapping[str, Sequence[float]]
PANELS = (("loss", "loss", 1), ("uar", "UAR (%)", 100))  # series, axis label, factor
Style = Literal["-", "--"]
STYLES: tuple[tuple[str, str, Style], ...] = (("train", "training", "--"), ("val", "validation", "-"))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.05))
    FigureCanvasAgg(figure)
    return figure


def arm_color(number: int) -> str:
    """Return the color of the arm with the given number; colors repeat after the last one."""
    return COLORS[number % len(COLORS)]


def arm_marker(number: int) -> str:
    """Return the marker of the arm with the given number; arms of one color have different markers."""
    return MARKERS[(number + number // len(COLORS)) % len(MARKERS)]


def arm_handles(arms: Iterable[str], **style: Any) -> list[Line2D]:
    """Return the legend entry of each arm; ``style`` are properties of a line, such as ``linestyle=""`` for none."""
    return [
        Line2D([], [], label=arm, **{"color": arm_color(number), "marker": arm_marker(number)} | style)
        for number, arm in enumerate(arms)
    ]


def add_legend(figure: Figure, handles: Sequence[Line2D | Patch], *, columns: int) -> None:
    """Add a legend below the axes, with as many columns as fit the width of the figure, but at most ``columns``.

    The figure grows by the rows after the first one, so that they take nothing from the axes.
    """
    for number in range(max(1, min(columns, len(handles))), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=number, frameon=False, fontsize=SMALL)
        if number == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + max(0, legend.get_window_extent().height / figure.dpi - ONE_ROW))


def draw_curve(axes: Axes, values: NDArray[np.float64], color: str, style: Style) -> None:
    marker = "o" if len(values) < 4 else ""  # a line of one point would be invisible
    axes.plot(np.arange(1, len(values) + 1), values, color=color, linestyle=style, marker=marker, linewidth=1.6)


def finish_curves(axes: Axes, label: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID)
    open_axes(axes)


def label_positions(axes: Axes, names: Sequence[str], *, rotated: bool) -> None:
    """Label the positions 0, 1, 2 ... of the horizontal axis."""
    style: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if rotated else {}
    axes.set_xticks(range(len(names)), names, **style)


def label_classes(axes: Axes, labels: Sequence[str]) -> None:
    """Label the rows and columns of a confusion matrix."""
    label_positions(axes, labels, rotated=True)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted emotion")
    axes.set_ylabel("true emotion")


def open_axes(axes: Axes) -> None:
    """Remove the top and right frame of the axes."""
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def class_percent(matrix: Confusion) -> NDArray[np.float64]:
    percent: NDArray[np.float64] = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return percent
