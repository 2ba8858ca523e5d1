"""A sweep small enough to be committed: of each run what a report needs, and nothing of the machine it was made on."""

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
from ser_lightning.runs import is_unscientific

DIGITS = 5  # of a curve: more than a figure can show
# Of the machine or of the command line, not of the result; kept out because they may tell paths and names.
PRIVATE = ("overrides", "machine")


def export_runs(runs: Sequence[Run], source: Path, target: Path) -> Path:
    """Write ``result.json`` and ``predictions.csv.gz`` of each run into a new folder, in the layout of the sweep.

    Curves are rounded to 5 significant digits and predictions written without probabilities; from the config go the
    values that are no part of a run's digest (folders, workers), from the result the command line and the machine. A
    report of the new folder says the same as one of the old.

    Args:
        runs: as read from ``source``
        source: the sweep folder
        target: the new folder

    Raises:
        InputError: the new folder holds something already

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
    # Without a time in it, the same predictions are the same bytes.
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
    """The config without what is no part of a run's digest, and without sections of which nothing is left."""
    kept = {}
    for key, value in section.items():
        inner = _scientific(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        if not is_unscientific(prefix + key) and (inner != {} or value == {}):
            kept[key] = inner
    return kept
