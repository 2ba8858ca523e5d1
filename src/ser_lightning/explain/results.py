"""Write the importance of feature groups, and the embeddings of runs, as JSON, a table and a figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_lightning.atomic import write_atomically
from ser_lightning.explain.embeddings import Doubles, Names, Nearness
from ser_lightning.explain.importance import GroupImportance
from ser_lightning.report.drawing import (
    FAINT,
    GRID,
    INK,
    SOFT,
    WIDTH,
    add_legend,
    arm_color,
    arm_handles,
    arm_marker,
    new_figure,
    open_axes,
)
from ser_lightning.report.figures import save
from ser_lightning.report.tables import NOTHING, markdown

MOST_NAMED = 12  # labels in a legend; more have colors without names


def importance_table(importances: Sequence[GroupImportance]) -> pd.DataFrame:
    """Tabulate the importance of feature groups, in points of UAR."""
    return pd.DataFrame(
        [
            {
                "group": each.group,
                "features": str(each.features),
                "points of UAR": f"{each.drop:+z.1f}",
                "95 % interval": NOTHING
                if each.interval is None
                else f"{each.interval[0]:z.1f} to {each.interval[1]:z.1f}",
                "sd": NOTHING if each.sd is None else f"{each.sd:.1f}",
            }
            for each in importances
        ]
    )


def importance_figure(importances: Sequence[GroupImportance]) -> Figure:
    """Draw the importance of feature groups with their intervals over speakers.

    Where one has none, all have two standard deviations over the permutations instead.
    """
    figure = new_figure(WIDTH, 1.1 + 0.3 * len(importances))
    axes = figure.subplots()
    over_speakers = all(each.interval is not None for each in importances)
    for row, each in enumerate(importances):
        spread = 2 * (each.sd or 0)
        low, high = each.interval if over_speakers and each.interval else (each.drop - spread, each.drop + spread)
        axes.hlines(row, low, high, color=SOFT, linewidth=1.5)
        axes.scatter([each.drop], [row], color=arm_color(0), s=36, zorder=3)
    axes.axvline(0, color=FAINT, linewidth=1)
    axes.set_yticks(range(len(importances)), [each.group for each in importances])
    axes.set_ylim(len(importances) - 0.5, -0.5)
    spread_name = "95 % over speakers" if over_speakers else "2 sd of permutations"
    axes.set_xlabel(f"importance (points of UAR; lines: {spread_name})")
    axes.grid(axis="x", color=GRID)
    open_axes(axes)
    return figure


def nearness_table(runs: Sequence[Mapping[str, Mapping[str, Nearness]]]) -> pd.DataFrame:
    """Tabulate how near clips with the same label lie to each other, as means over runs.

    Args:
        runs: representation -> kind of label -> nearness, of each run

    """
    rows = []
    for name, labels in runs[0].items():
        for label in labels:
            silhouette, neighbor, chance = np.mean([run[name][label] for run in runs], axis=0)
            rows.append(
                {
                    "representation": name,
                    "label": label,
                    "silhouette": f"{silhouette:+z.3f}",
                    "nearest neighbor (%)": f"{100 * neighbor:.1f}",
                    "chance (%)": f"{100 * chance:.1f}",
                }
            )
    return pd.DataFrame(rows)


def embedding_figure(maps: Mapping[str, Doubles], labels: Mapping[str, Names], nearness: Any) -> Figure:
    """Draw the map of each representation, once for each kind of label.

    Args:
        maps: representation -> coordinates (N, 2)
        labels: kind of label -> label of each clip
        nearness: representation -> kind of label -> nearness

    """
    figure = new_figure(0.5 + 3.2 * len(labels), 0.4 + 2.8 * len(maps))
    grid = figure.subplots(len(maps), len(labels), squeeze=False)
    for row, (name, places) in zip(grid, maps.items(), strict=True):
        for axes, (label, values) in zip(row, labels.items(), strict=True):
            _draw_map(axes, places, values)
            axes.set_title(f"{name} by {label}: silhouette {nearness[name][label].silhouette:+z.2f}", fontsize=9)
    named = [np.unique(values) for values in labels.values()]
    handles = [
        handle for values in named if len(values) <= MOST_NAMED for handle in arm_handles(values.tolist(), linestyle="")
    ]
    add_legend(figure, handles, columns=8)
    return figure


def _draw_map(axes: Axes, places: Doubles, values: Names) -> None:
    for number, value in enumerate(np.unique(values)):
        here = places[values == value]
        axes.scatter(
            here[:, 0], here[:, 1], s=12, color=arm_color(number), marker=arm_marker(number), alpha=0.7, linewidth=0
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(INK)


def write_explanation(
    folder: Path, name: str, *, values: Mapping[str, Any], table: pd.DataFrame, figure: Figure
) -> None:
    """Write ``<name>.json``, ``<name>.md`` and ``<name>.png``, the JSON file last."""
    save(figure, folder / f"{name}.png")
    texts = {f"{name}.md": markdown(table) + "\n", f"{name}.json": json.dumps(values, indent=1, allow_nan=False) + "\n"}
    for file_name, text in texts.items():
        with write_atomically(folder / file_name) as file:
            file.write(text)
