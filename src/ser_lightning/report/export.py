"""Export a sweep in a form that is small enough to commit and holds nothing about the machine that ran it."""

import gzip
import json
from pathlib import Path, PurePath
from typing import Any

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.arms import Comparison
from ser_lightning.report.predictions import OPTIONAL, PACKED, REQUIRED
from ser_lightning.report.robustness import NAME as ROBUSTNESS
from ser_lightning.report.robustness import read_robustness
from ser_lightning.results import is_unscientific

DIGITS = 5  # significant digits of a curve; more than a figure can show
# Not part of the result; excluded because these entries may reveal paths and names.
PRIVATE = ("overrides", "machine")


def export_runs(comparison: Comparison, source: Path, target: Path) -> Path:
    """Write the files of each run that a report reads to a new folder, in the layout of the sweep.

    These are ``result.json``, ``predictions.csv.gz`` and, where a run has it, ``robustness.json``.
    Curves are rounded to 5 significant digits and predictions are written without probabilities. Config values outside
    the digest of a run (folders, workers), the command line and the machine are removed. A report of the new folder
    equals a report of the old one.

    Args:
        comparison: the compared runs
        source: the sweep folder
        target: the new folder

    Raises:
        InputError: the new folder is a file or is not empty

    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"--export {target} is not an empty folder. Give a new one.")
    predictions = dict(iter(comparison.predictions.groupby("run")))
    for path in comparison.runs.index:
        result = json.loads((source / path / "result.json").read_text(encoding="utf-8"))
        clips = predictions[path]
        columns = [*REQUIRED, *(column for column in OPTIONAL if (clips[column] != "").any())]
        text = clips[columns].to_csv(index=False, lineterminator="\n")
        with write_atomically(target / path / PACKED, "wb") as file:
            # Without a timestamp, equal predictions give equal bytes.
            file.write(gzip.compress(text.encode(), mtime=0))
        if (robustness := read_robustness(source / path)) is not None:
            with write_atomically(target / path / ROBUSTNESS) as file:
                json.dump(_without_folders(robustness), file, separators=(",", ":"))
                file.write("\n")
        with write_atomically(target / path / "result.json") as file:
            json.dump(_public(result), file, separators=(",", ":"))
            file.write("\n")
    return target


def _without_folders(robustness: dict[str, Any]) -> dict[str, Any]:
    """Return the results under conditions with the names of the user's folders instead of their paths."""
    for section in robustness["conditions"].values():
        if section["values"].get("folder") is not None:
            section["values"]["folder"] = PurePath(section["values"]["folder"]).name
    return robustness


def _public(result: dict[str, Any]) -> dict[str, Any]:
    public = {key: value for key, value in result.items() if key not in PRIVATE}
    public["history"] = {
        name: [float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for value in values]
        for name, values in result["history"].items()
    }
    public["config"] = _scientific(result["config"])
    return public


def _scientific(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the config without the values outside the digest of a run, and without sections that this empties."""
    scientific = {}
    for key, value in section.items():
        inner = _scientific(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        if not is_unscientific(prefix + key) and (inner != {} or value == {}):
            scientific[key] = inner
    return scientific
