"""Results under conditions of recording, as ``ser-evaluate --robustness`` writes them beside the result of a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_lightning.errors import InputError
from ser_lightning.metrics import Counts, mean_ratio
from ser_lightning.report.bootstrap import FEWER_DRAWS, cluster_interval, speaker_interval
from ser_lightning.report.tables import NOTHING, interval_text

NAME = "robustness.json"
FORMAT = 1
CLEAN = "none"  # label of the level without a condition
SAME = 1e-5  # accuracy of the file without a condition and of result.json


def read_robustness(run: Path) -> dict[str, Any] | None:
    """Read ``robustness.json`` in the folder of a run; None if there is no such file.

    Raises:
        InputError: the file is damaged or has another format

    """
    path = run / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        pool_runs([content])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); compute it again by ser-evaluate --robustness") from error
    return content


def robustness_of_runs(folder: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :func:`pool_runs` for the runs of an arm; empty unless all have a file of their result.

    Args:
        folder: the sweep folder
        runs: the runs, with the columns ``path`` and ``test/accuracy`` in percent

    Raises:
        InputError: a file is damaged

    """
    contents = [read_robustness(folder / path) for path in runs.path]
    present = [
        content
        for content, accuracy in zip(contents, runs["test/accuracy"], strict=True)
        if content is not None and abs(content["clean"]["accuracy"] - accuracy / 100) < SAME
    ]
    return pool_runs(present) if len(present) == len(contents) else pd.DataFrame()


def pool_runs(runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Pool the clips of runs and compute the UAR at every level that all runs have.

    Args:
        runs: contents of ``robustness.json``

    Returns:
        one row per condition and level, those without a condition first. Columns: ``condition``, ``level`` (text),
        ``unit``, and in percent ``uar``, ``low`` and ``high`` (95 % interval over speakers, NaN below 8 speakers),
        ``change`` from no condition, in points, with ``change_low`` and ``change_high``

    """
    first = runs[0]
    names = sorted({speaker for run in runs for speaker in run["speakers"]})
    clean = pool_counts(runs, [run["clean"] for run in runs], names)
    rows = [{"condition": "", "level": CLEAN, "unit": "", **_measures(clean, clean)}]
    for name, section in first["conditions"].items():
        sections = [run["conditions"].get(name, {"values": None, "levels": []}) for run in runs]
        for number, level in enumerate(section["levels"]):
            entries = [
                _at(run_section, level["level"])
                for run_section in sections
                if run_section["values"] == section["values"]
            ]
            if len(entries) == len(runs) and None not in entries:
                pooled = pool_counts(runs, [entry for entry in entries if entry], names)
                label = f"{section['levels'][number]['level']:g}"
                rows.append({"condition": name, "level": label, "unit": section["unit"], **_measures(pooled, clean)})
    return pd.DataFrame(rows)


def _at(section: Mapping[str, Any], level: float) -> Mapping[str, Any] | None:
    return next((entry for entry in section["levels"] if entry["level"] == level), None)


def pool_counts(
    runs: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Counts:
    """Return the correct and all clips of each speaker and emotion, (speakers, 2, C)."""
    counts = np.zeros((len(names), 2, len(runs[0]["emotions"])))
    for run, entry in zip(runs, entries, strict=True):
        places = [names.index(speaker) for speaker in run["speakers"]]
        counts[places, 0] += np.array(entry["correct"])
        counts[places, 1] += np.array(run["speaker_clips"])
    return counts


def _measures(counts: Counts, clean: Counts) -> dict[str, float]:
    low, high = speaker_interval(counts) or (np.nan, np.nan)
    percent = np.array([[100.0], [1.0]])
    change = cluster_interval(counts * percent, clean * percent, draws=FEWER_DRAWS)
    change_low, change_high = change.interval or (np.nan, np.nan)
    return {
        **{"uar": 100 * float(mean_ratio(counts.sum(0))), "low": low, "high": high},
        **{"change": change.mean, "change_low": change_low, "change_high": change_high},
    }


def robustness_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tabulate the UAR at every level as text; with one arm, also the change from no condition."""
    columns: dict[str, dict[tuple[str, str], str]] = {}
    for arm, table in tables.items():
        levels = list(
            zip(table.condition.str.replace("_", " "), (table.level + " " + table.unit).str.strip(), strict=True)
        )
        cells = {"UAR (%)": table.uar.map("{:.1f}".format), "95 % over speakers": _intervals(table.low, table.high)}
        if len(tables) == 1:
            cells |= {"change (points)": table.change.map("{:+z.1f}".format)}
            cells |= {"95 % of the change": _intervals(table.change_low, table.change_high)}
        for title, texts in cells.items():
            if all(text == NOTHING for text in texts):
                continue  # too few speakers for intervals
            head = f"{arm}, {title}" if len(tables) > 1 else title
            columns[head] = dict(zip(levels, texts, strict=True))
    every = dict.fromkeys(level for column in columns.values() for level in column)
    first = {"condition": [name for name, _ in every], "level": [level for _, level in every]}
    others = {head: [column.get(level, NOTHING) for level in every] for head, column in columns.items()}
    return pd.DataFrame(first | others)


def _intervals(low: "pd.Series[float]", high: "pd.Series[float]") -> list[str]:
    return [NOTHING if np.isnan(a) else interval_text(a, b) for a, b in zip(low, high, strict=True)]
