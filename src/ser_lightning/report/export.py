"""Export a sweep in a form that is small enough to commit and holds nothing about the machine that ran it."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.predictions import COLUMNS, PACKED, TOLD
from ser_lightning.report.runs import Run
from ser_lightning.results import is_unscientific

DIGITS = 5  # significant digits of a curve; more than a figure can show
# Not part of the result; excluded because these entries may reveal paths and names.
PRIVATE = ("overrides", "machine")


def export_runs(runs: Sequence[Run], source: Path, target: Path) -> Path:
    """Write ``result.json`` and ``predictions.csv.gz`` of each run to a new folder, in the layout of the sweep.

    Curves are rounded to 5 significant digits and predictions are written without probabilities. Config values outside
    the digest of a run (folders, workers), the command line and the machine are removed. A report of the new folder
    equals a report of the old one.

    Args:
        runs: runs read from ``source``
        source: the sweep folder
        target: the new folder

    Raises:
        InputError: the new folder is a file or is not empty

    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            f"--export {target} is not an empty folder; give a new one, so that nothing old stays among it."
        )
    for run in runs:
        result = json.loads((source / run.path / "result.json").read_text(encoding="utf-8"))
        folder = target / run.path
        with write_atomically(folder / PACKED, "wb") as file:
            file.write(_packed(run))
        with write_atomically(folder / "result.json") as file:
            json.dump(_public(result), file, separators=(",", ":"))
            file.write("\n")
    return target


def _packed(run: Run) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    utterance, *others = COLUMNS
    altered = any(clips.altered for clips in run.clips.values())
    told = [name for name in TOLD if all(getattr(clips, name) for clips in run.clips.values())]
    writer.writerow([utterance, *["copy"] * altered, *others, *told])
    for subset, clips in run.clips.items():
        keys = zip(clips.utterance, clips.copy, strict=True) if altered else zip(clips.utterance, strict=True)
        rows = zip(keys, clips.speaker, clips.target.tolist(), clips.prediction.tolist(), strict=True)
        more = zip(*(getattr(clips, name) for name in told), strict=True) if told else repeat(())
        writer.writerows(
            (*key, speaker, subset, run.emotions[target], run.emotions[prediction], *own)
            for (key, speaker, target, prediction), own in zip(rows, more, strict=False)
        )
    # Without a timestamp, equal predictions give equal bytes.
    return gzip.compress(text.getvalue().encode(), mtime=0)


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
    kept = {}
    for key, value in section.items():
        inner = _scientific(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        if not is_unscientific(prefix + key) and (inner != {} or value == {}):
            kept[key] = inner
    return kept
