"""Read finished runs into one DataFrame and check their metrics against their predictions."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_lightning.config_files import flat
from ser_lightning.errors import InputError
from ser_lightning.metrics import METRICS, Confusion, confusion_matrix
from ser_lightning.report.predictions import COLUMNS, UnusableRunError, check_emotions, clip_digest, load_predictions

FORMAT = 1
RECOMPUTED = ("accuracy", "uar", "macro_f1")  # every result has these; metrics added later need not be there
TOLERANCE = 1e-5  # result.json holds single-precision values; one utterance of 10,000 makes a larger difference
# Column of the DataFrame of runs -> title in tables. Values are in percent; NaN if a run lacks the metric.
HEADLINE = "test/accuracy"
STUDY_METRIC, EVALUATION_MODE = "test/study_metric", "test/evaluation_mode"
MEASURES = {
    **{f"test/{metric.name}": f"test {metric.title}" for metric in METRICS.values()},
    "val/uar": "val UAR",
    "train/accuracy": "train accuracy",
    EVALUATION_MODE: "test accuracy in evaluation mode",
    STUDY_METRIC: "study's test metric",
}
# Fields of result.json that a report needs, and their types; a section precedes its fields.
FIELDS = {
    "format": int,
    **dict.fromkeys(("name", "run_id", "checkpoint", "device"), str),
    **dict.fromkeys(("seed", "epochs", "parameters"), int),
    "emotions": list,
    "corpus": dict,
    **{"corpus.name": str, "corpus.digest": str, "corpus.utterances": int, "corpus.problems": list},
    **dict.fromkeys(("choices", "config", "counts", "history", "versions", "seconds"), dict),
    **{"audit": dict, "audit.summary": str, "audit.findings": list},
    **{"metrics": dict, "metrics.test": dict, "confusion_matrix": dict},
}
OPTIONAL = ("git", "encoder", "normalization", "calibration")  # sections that a result need not have
SECTIONS = [key for key in FIELDS if "." not in key and key not in ("format", "metrics", "confusion_matrix")]


class LeftOut(NamedTuple):
    """A run folder that is excluded from the report, and the reason."""

    path: str
    reason: str


class Results(NamedTuple):
    """All runs below a folder.

    Args:
        runs: one row per run, indexed by path. Columns: ``path``; ``fold`` (empty if the split has no folds); the
            fields of result.json under their own names (``name``, ``seed``, ``config``, ``history``, ...); ``git``;
            ``confusion`` (subset -> counts, true classes in rows); ``clip_sets`` (subset -> digest of its clips); and
            every metric of :data:`MEASURES` in percent
        predictions: one row per run and clip, as :func:`ser_lightning.read_predictions` returns them, with the path of
            the run in the column ``run``
        left_out: the run folders that are excluded

    """

    runs: pd.DataFrame
    predictions: pd.DataFrame
    left_out: list[LeftOut]


def read_results(folder: str | Path) -> pd.DataFrame:
    """Read the results of all finished runs below a folder.

    Args:
        folder: a sweep folder, or the folder of one run

    Returns:
        one row per run. Columns: ``path`` (relative to the folder), ``name``, ``run_id``, ``seed``, ``fold`` if the
        split has folds, every config key whose value differs between the runs (``model.dropout``), and the metrics as
        fractions from 0 to 1 (``test/accuracy``, ``val/uar``, ...). Runs that are unfinished, damaged or inconsistent
        with their predictions are not included.

    Raises:
        InputError: the folder does not exist or holds no finished run

    >>> results = read_results("docs/results/dropout/released")
    >>> results.groupby("model.dropout")["test/accuracy"].mean().round(3).to_dict()
    {0.0: 0.635, 0.25: 0.623}

    """
    runs = read_runs(folder).runs
    values = pd.DataFrame([dict(flat(config)) for config in runs.config], index=runs.index)
    texts = values.map(lambda value: json.dumps(value, sort_keys=True))  # lists are not hashable
    identity = ["path", "name", "run_id", "seed", *(["fold"] if (runs.fold != "").any() else [])]
    swept = [key for key in values if texts[key].nunique() > 1 and key not in (*identity, "split.fold")]
    metrics = [_metrics(row.all_metrics) for row in runs.itertuples()]
    return pd.concat(
        [runs[identity], values[swept], pd.DataFrame(metrics, index=runs.index)], axis="columns"
    ).reset_index(drop=True)


def _metrics(sections: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{subset}/{name}": value for subset, values in sections.items() for name, value in values.items()}


def read_runs(folder: str | Path) -> Results:
    """Read all runs below a folder.

    A run is a folder that holds ``result.json``, ``.hydra/config.yaml`` or ``checkpoints/``; hidden folders and folders
    inside a run are not searched. A run that is unfinished, damaged, of another format, or inconsistent with its own
    ``predictions.csv`` is left out, and the reason is recorded.

    Args:
        folder: a sweep folder, or the folder of one run

    Returns:
        runs, predictions and the folders left out, each in path order

    Raises:
        InputError: the folder does not exist or holds no finished run

    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give the sweep folder that holds the runs.")
    rows, predictions, left_out = [], {}, []
    for path in _run_folders(folder):
        name = path.relative_to(folder).as_posix()
        try:
            row, clips = _read_run(path)
        except UnusableRunError as error:
            left_out.append(LeftOut(name, str(error)))
        else:
            rows.append({"path": name, **row})
            predictions[name] = clips
    if not rows:
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in left_out[:5])
        more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        raise InputError(
            f"{folder} holds no finished run to report. "
            + (f"Found {reasons}{more}." if reasons else "Found no run folder. Train first, or give another folder.")
        )
    runs = pd.DataFrame(rows).set_index("path", drop=False).rename_axis(None)
    return Results(runs, pd.concat(predictions, names=["run"]).reset_index("run").reset_index(drop=True), left_out)


def _run_folders(root: Path) -> Iterator[Path]:
    for current, folders, files in os.walk(root):
        path = Path(current)
        is_run = "result.json" in files or "checkpoints" in folders or (path / ".hydra/config.yaml").is_file()
        if is_run:
            yield path
        # A stray checkpoints folder in the sweep folder must not hide its runs, so the root is always searched.
        keep = [] if is_run and path != root else [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(set(keep) - ({"checkpoints"} if is_run else set()))


def _read_run(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the row of a run and its predictions."""
    result = _read_result(folder / "result.json")
    _check_fields(result)
    emotions = result["emotions"]
    predictions = load_predictions(folder)
    check_emotions(predictions, emotions)
    clips = dict(iter(predictions.groupby("subset")))
    confusion = {subset: confusion_of(rows, emotions) for subset, rows in clips.items()}
    metrics = {subset: values for subset, values in result["metrics"].items() if isinstance(values, dict)}
    for subset in ("val", "test"):
        if subset in metrics:
            _check_metrics(subset, metrics[subset], result["confusion_matrix"].get(subset), confusion.get(subset))
    split = result["config"].get("split")
    fold = split.get("fold") if isinstance(split, dict) else None
    row = {key: result[key] for key in SECTIONS} | {
        "emotions": tuple(emotions),
        "fold": "" if fold is None else str(fold),
        **{key: result[key] if isinstance(result.get(key), dict) else {} for key in OPTIONAL},
        "confusion": confusion,
        "clip_sets": {subset: clip_digest(rows) for subset, rows in clips.items()},
        "all_metrics": metrics,
    }
    return row | {key: _percent(result, key) for key in MEASURES}, predictions[list(COLUMNS)]


def confusion_of(clips: pd.DataFrame, emotions: tuple[str, ...]) -> Confusion:
    """Return the (C, C) confusion counts of some clips."""
    return confusion_matrix(*class_codes(clips, emotions), len(emotions))


def class_codes(clips: pd.DataFrame, emotions: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the true and of the predicted emotions of clips in ``emotions``, both (N,)."""
    target, prediction = (
        pd.Categorical(clips[column], emotions).codes.astype(np.int64) for column in ("target", "prediction")
    )
    return target, prediction


def _percent(result: Mapping[str, Any], key: str) -> float:
    """Return a metric of :data:`MEASURES` in percent; NaN if the run does not have it as a finite number."""
    subset, name = key.split("/")
    if key == STUDY_METRIC:
        value, factor = _get(result, "study_metric", subset), 1  # the study's own percent
    elif key == EVALUATION_MODE:
        value, factor = _get(result, "evaluation_mode_metrics", subset, "accuracy"), 100
    else:
        value, factor = _get(result, "metrics", subset, name), 100
    try:
        number = factor * float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _get(section: Any, *keys: str) -> Any:
    for key in keys:
        section = section.get(key) if isinstance(section, dict) else None
    return section


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnusableRunError("unfinished: no result.json") from None
    except OSError as error:
        raise UnusableRunError(f"result.json cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
        raise UnusableRunError(f"result.json is damaged: {error}") from None
    if not isinstance(result, dict):
        raise UnusableRunError("result.json is damaged: not an object")
    return result


def _check_fields(result: Mapping[str, Any]) -> None:
    for key, kind in FIELDS.items():
        *sections, name = key.split(".")
        section = result[sections[0]] if sections else result
        if name not in section:
            raise UnusableRunError(f"result.json lacks {key}")
        value = section[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UnusableRunError(f"result.json: expected {key} to be {kind.__name__} but got {type(value).__name__}")
        if key == "format" and value != FORMAT:
            raise UnusableRunError(f"result.json has format {value}, this ser-report reads {FORMAT}")
    emotions, findings = result["emotions"], result["audit"]["findings"]
    if not all(isinstance(emotion, str) for emotion in emotions) or len(set(emotions)) < len(emotions):
        raise UnusableRunError("result.json: expected emotions to be distinct names")
    if not all(
        isinstance(finding, dict) and {"name", "severity", "found", "sentence"} <= finding.keys()
        for finding in findings
    ):
        raise UnusableRunError("result.json: an audit finding lacks name, severity, found or sentence")
    if not all(isinstance(value, int | float) for value in result["seconds"].values()):
        raise UnusableRunError("result.json: expected numbers of seconds")


def _check_metrics(subset: str, metrics: Mapping[str, float], matrix: Any, confusion: Confusion | None) -> None:
    """Check the metrics and the confusion matrix of result.json against the counts of predictions.csv."""
    if confusion is None:
        raise UnusableRunError(f"predictions.csv has no row of {subset}, but result.json has its metrics")
    for name in RECOMPUTED:
        stored, expected = metrics.get(name), METRICS[name].compute(confusion)
        if not isinstance(stored, float | int):
            raise UnusableRunError(f"result.json lacks metrics.{subset}.{name}")
        if not abs(stored - expected) <= TOLERANCE:  # written this way so that NaN counts as a mismatch
            raise UnusableRunError(
                f"result.json says {subset} {name} {stored:.4f}, its predictions.csv gives {expected:.4f}"
            )
    if matrix != confusion.tolist():
        raise UnusableRunError(f"the {subset} confusion matrix of result.json is not that of predictions.csv")
