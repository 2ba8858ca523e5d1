"""Curves of the UAR by level of each condition."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_lightning.report.drawing import (
    GRID,
    SMALL,
    SOFT,
    WIDTH,
    add_legend,
    arm_color,
    arm_handles,
    new_figure,
    open_axes,
)
from ser_lightning.report.robustness import CLEAN

IN_A_FIGURE = 6  # conditions in a figure
COLUMNS = 2


def draw_robustness(tables: Mapping[str, pd.DataFrame], *, chance: float) -> list[Figure]:
    """Draw the UAR by level with its interval over speakers: one panel per condition, up to six in a figure.

    Args:
        tables: arm -> table of :func:`~ser_lightning.report.robustness.pool_runs`
        chance: UAR of guessing, percent

    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table.condition if name))
    return [_figure(names[start : start + IN_A_FIGURE], tables, chance) for start in range(0, len(names), IN_A_FIGURE)]


def _figure(names: list[str], tables: Mapping[str, pd.DataFrame], chance: float) -> Figure:
    lines = -(-len(names) // COLUMNS)
    figure = new_figure(WIDTH, 0.5 + 1.75 * lines)
    for axes, name in zip(figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).flat, names, strict=False):
        _draw_condition(axes, name, tables, chance)
    for axes in figure.axes[len(names) :]:
        axes.set_visible(False)
    for axes in figure.axes[::COLUMNS]:
        axes.set_ylabel("UAR (%)", fontsize=SMALL)
    if len(tables) > 1:
        add_legend(figure, arm_handles(tables, marker="o"), columns=2)
    return figure


def _draw_condition(axes: Axes, name: str, tables: Mapping[str, pd.DataFrame], chance: float) -> None:
    labels: list[str] = []
    for number, table in enumerate(tables.values()):
        levels = table[table.condition.isin(["", name])]
        if len(levels) < 2:
            continue  # the arm was not measured under this condition
        labels = labels or [CLEAN, *levels.level[1:]]
        places = [labels.index(level) for level in levels.level if level in labels]
        levels = levels[levels.level.isin(labels)]
        axes.plot(places, levels.uar, color=arm_color(number), marker="o", markersize=3.5, linewidth=1.4)
        axes.fill_between(places, levels.low, levels.high, color=arm_color(number), alpha=0.15, linewidth=0)
        unit = levels.unit.iloc[-1]
    axes.axhline(chance, color=SOFT, linestyle="--", linewidth=1)
    axes.set_xticks(range(len(labels)), labels, fontsize=SMALL)
    axes.set_xlim(-0.3, max(len(labels), 3) - 0.7)
    axes.set_ylim(0, 100)
    axes.set_xlabel(unit, fontsize=SMALL)
    axes.set_title(name.replace("_", " "), fontsize=SMALL, loc="left")
    axes.grid(color=GRID)
    open_axes(axes)
