"""Figures of one run and of the arms of a sweep.

Every function returns a figure that belongs to no window and no global state, so that it can be made in any
process and thread. Colours are those of Okabe & Ito (2008), which colour-blind readers can tell apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ser_lightning.atomic import write_atomically
from ser_lightning.metrics import Confusion
from ser_lightning.report.statistics import PairedDifference

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DPI = 150
History = Mapping[str, Sequence[float]]
PANELS = (("loss", "loss", 1), ("uar", "UAR (%)", 100))  # series, axis label, factor
Style = Literal["-", "--"]
STYLES: tuple[tuple[str, str, Style], ...] = (("train", "training", "--"), ("val", "validation", "-"))


def confusion_figure(matrix: Confusion, labels: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix: counts as numbers, the share of each true class as colour.

    Args:
        matrix: ``(C, C)`` counts, rows true
        labels: name of each class
        title: of the figure

    """
    side = 2.2 + 0.55 * len(labels)
    figure = _figure(side + 0.8, side)
    axes = figure.subplots()
    image = _draw_confusion(axes, matrix, labels)
    axes.set_title(title)
    _colour_bar(figure, image, [axes])
    return figure


def arms_confusion_figure(matrices: Mapping[str, Confusion], labels: Sequence[str], title: str) -> Figure:
    """Draw the confusion matrices of the arms side by side, on one colour scale.

    Args:
        matrices: heading -> ``(C, C)`` counts, rows true
        labels: name of each class
        title: of the figure

    """
    columns = min(3, len(matrices))
    rows = -(-len(matrices) // columns)
    side = 1.2 + 0.5 * len(labels)
    figure = _figure(columns * side + 1.6, rows * side + 1.2)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, (heading, matrix) in zip(grid.flat, matrices.items(), strict=False):
        image = _draw_confusion(axes, matrix, labels)
        axes.set_title(heading)
        axes.label_outer()
    for axes in grid.flat[len(matrices) :]:
        axes.remove()
    for axes in grid[-2 if rows > 1 else -1, columns - (rows * columns - len(matrices)) :]:
        axes.tick_params(labelbottom=True)  # the panel below it was removed
    figure.suptitle(title)
    _colour_bar(figure, image, list(grid.flat[: len(matrices)]))
    return figure


def curves_figure(history: History, title: str) -> Figure:
    """Draw loss and UAR of one run over its epochs.

    Args:
        history: series name (``train/loss``, ``val/uar``, ...) -> value per epoch, UAR as a fraction
        title: of the figure

    """
    figure = _figure(9, 3.8)
    for axes, (series, label, factor) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for (subset, _, style), colour in zip(STYLES, COLOURS, strict=False):
            values = factor * np.array(history.get(f"{subset}/{series}", ()), float)
            _draw_line(axes, values, colour=colour, style=style)
        _finish_curves(axes, label)
    handles = [
        Line2D([], [], color=colour, linestyle=style, label=name)
        for (_, name, style), colour in zip(STYLES, COLOURS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    return figure


def arms_curves_figure(histories: Mapping[str, Sequence[History]], title: str) -> Figure:
    """Draw loss and UAR of every arm: the mean over its runs, in a band from the lowest to the highest run.

    Only the epochs that all runs of an arm reached are drawn, so that each mean is of the same runs.

    Args:
        histories: arm -> history of each of its runs, as in :func:`curves_figure`
        title: of the figure

    """
    figure = _figure(11, 4.8)
    for axes, (series, label, factor) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for number, runs in enumerate(histories.values()):
            colour = COLOURS[number % len(COLOURS)]
            for subset, _, style in STYLES:
                values = factor * _stack(runs, f"{subset}/{series}")
                _draw_line(axes, values.mean(axis=0), colour=colour, style=style)
                if len(values) > 1:
                    epochs = np.arange(1, values.shape[1] + 1)
                    low, high = values.min(axis=0), values.max(axis=0)
                    axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        _finish_curves(axes, label)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=COLOURS[number % len(COLOURS)], label=f"{arm} ({_runs(len(runs))})")
        for number, (arm, runs) in enumerate(histories.items())
    ]
    handles += [Line2D([], [], color="0.3", linestyle=style, label=name) for _, name, style in STYLES[::-1]]
    handles.append(Patch(color="0.6", alpha=0.5, label="line: mean; band: lowest to highest run"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) if len(handles) < 7 else 4,
        frameon=False,
    )
    figure.suptitle(title)
    return figure


def paired_figure(values: Mapping[str, Mapping[int, float]], label: str, title: str) -> Figure:
    """Draw one number per run, with a line joining the arms at each seed and a bar at each arm's mean.

    Args:
        values: arm -> seed -> value
        label: of the value axis
        title: of the figure

    """
    figure = _figure(2.6 + 1.7 * len(values), 4.8)
    axes = figure.subplots()
    ends: dict[int, tuple[float, float]] = {}
    for seed in sorted({seed for by_seed in values.values() for seed in by_seed}):
        points = [(x, by_seed[seed]) for x, by_seed in enumerate(values.values()) if seed in by_seed]
        axes.plot(*zip(*points, strict=True), color="0.6", linewidth=1.2, zorder=1)
        ends[seed] = points[-1]
    for x, by_seed in enumerate(values.values()):
        colour = COLOURS[x % len(COLOURS)]
        axes.scatter([x] * len(by_seed), list(by_seed.values()), color=colour, s=42, zorder=3)
        mean = float(np.mean(list(by_seed.values())))
        axes.hlines(mean, x - 0.16, x + 0.16, color=colour, linewidth=2.5, zorder=2)
    _label_seeds(axes, ends)
    axes.set_xticks(range(len(values)), list(values))
    axes.set_xlim(-0.45, len(values) - 1 + 0.75)
    axes.set_ylabel(label)
    axes.grid(axis="y", color="0.9")
    _open(axes)
    axes.set_title(title, fontsize="medium")
    mean_bar = Line2D([], [], color="0.3", linewidth=2.5, label="mean of the arm")
    joined = Line2D([], [], color="0.6", marker="o", label="same seed")
    figure.legend(handles=[joined, mean_bar], loc="outside lower center", ncols=2, frameon=False)
    return figure


def forest_figure(panels: Mapping[str, Mapping[str, Mapping[str, PairedDifference]]], label: str) -> Figure:
    """Draw differences as dots with their intervals, one row each, a panel beside the other; zero is a line.

    A difference without an interval is a dot alone.

    Args:
        panels: title -> row -> series -> difference
        label: of the axis of differences

    """
    names = list(dict.fromkeys(row for rows in panels.values() for row in rows))
    series = list(dict.fromkeys(name for rows in panels.values() for found in rows.values() for name in found))
    figure = _figure(2.2 + 4.2 * len(panels), 1.6 + 0.42 * len(names))
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, (title, rows) in zip(grid.flat, panels.items(), strict=True):
        for row, found in rows.items():
            for number, name in enumerate(series):
                if name in found:
                    # The series of a row lie one above the other, about the row's own line.
                    y = names.index(row) + 0.24 * (number - (len(series) - 1) / 2)
                    _draw_difference(axes, found[name], y, colour=COLOURS[number % len(COLOURS)])
        axes.axvline(0, color="0.5", linewidth=1, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color="0.9")
        _open(axes)
        axes.set_title(title, fontsize="medium")
    handles = [
        Line2D([], [], color=COLOURS[number % len(COLOURS)], marker="o", label=name)
        for number, name in enumerate(series)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)), frameon=False)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, completely or not at all.

    Args:
        figure: any figure of this module
        path: the file; its folder is made

    """
    with write_atomically(path, "wb") as file:
        # Without the version of matplotlib in the file, the same figure is the same bytes.
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.05))
    FigureCanvasAgg(figure)
    return figure


def _draw_confusion(axes: Axes, matrix: Confusion, labels: Sequence[str]) -> AxesImage:
    total = matrix.sum(axis=1, keepdims=True)
    share = 100 * matrix / np.maximum(total, 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > 55 else "black" if count else "0.65"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted emotion")
    axes.set_ylabel("true emotion")
    return image


def _colour_bar(figure: Figure, image: AxesImage, panels: Sequence[Axes]) -> None:
    bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=25)
    bar.set_label("share of the true emotion (%)")
    bar.outline.set_visible(False)


def _stack(runs: Iterable[History], series: str) -> NDArray[np.float64]:
    values = [np.array(run.get(series, ()), float) for run in runs]
    epochs = min(len(row) for row in values)
    return np.stack([row[:epochs] for row in values])


def _draw_difference(axes: Axes, found: PairedDifference, y: float, *, colour: str) -> None:
    if found.mean is None:
        return
    if found.interval is not None:
        axes.hlines(y, *found.interval, color=colour, linewidth=1.8)
    axes.scatter([found.mean], [y], color=colour, s=26, zorder=3)


def _draw_line(axes: Axes, values: NDArray[np.float64], *, colour: str, style: Style) -> None:
    marker = "o" if len(values) < 4 else ""  # a line of one point is invisible
    axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=style, marker=marker, linewidth=1.6)


def _finish_curves(axes: Axes, label: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9")
    _open(axes)


def _open(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _label_seeds(axes: Axes, ends: Mapping[int, tuple[float, float]]) -> None:
    """Name each line at its right end, pushed apart where lines end close together."""
    low, high = axes.get_ylim()
    gap = 0.045 * (high - low)
    for end in sorted({x for x, _ in ends.values()}):
        below = -np.inf
        for seed, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
            if x == end:
                below = max(y, below + gap)
                axes.text(x + 0.2, below, f"seed {seed}", va="center", fontsize=8, color="0.25")


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
