"""Read the predictions of a run from ``predictions.csv`` or ``predictions.csv.gz``."""

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_lightning.errors import InputError, printable

NAME, PACKED = "predictions.csv", "predictions.csv.gz"
REQUIRED = ("utterance", "speaker", "subset", "target", "prediction")
FILLED = ("utterance", "subset", "target", "prediction")  # in every row; some corpora name no speakers
ATTRIBUTES = ("gender", "age", "language", "statement", "intensity")
OPTIONAL = ("copy", *ATTRIBUTES)  # empty where a corpus does not define them

COLUMNS = ("subset", "utterance", "copy", "speaker", *ATTRIBUTES, "target", "prediction")


class UnusableRunError(Exception):
    """Raised if a run folder cannot be read; its message becomes the reason why the run is left out."""


def read_predictions(run: str | Path) -> pd.DataFrame:
    """Read the predictions of a run.

    Args:
        run: folder of the run, with ``predictions.csv`` or ``predictions.csv.gz``

    Returns:
        one row per evaluated clip, sorted by subset, utterance and copy. Columns: ``subset`` (``val`` or ``test``),
        ``utterance`` (id), ``copy`` (name of the augmented copy, empty for the original clip), ``speaker``, ``gender``,
        ``age``, ``language``, ``statement`` and ``intensity`` (text, empty if unknown), ``target`` and ``prediction``
        (names of emotions), and, where the run stored them, the probability of each emotion.

    Raises:
        InputError: the file is missing or damaged

    >>> predictions = read_predictions("docs/results/dropout/released/dropout-none/seed-0")
    >>> test = predictions[predictions.subset == "test"]
    >>> round(float((test.target == test.prediction).mean()), 4)
    0.6167

    """
    try:
        return load_predictions(Path(run))
    except UnusableRunError as error:
        raise InputError(f"{run}: {error}") from None


def load_predictions(run: Path) -> pd.DataFrame:
    """Read the predictions of a run like :func:`read_predictions`, and raise UnusableRunError instead of InputError."""
    path = run / NAME if (run / NAME).exists() else run / PACKED
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys((*REQUIRED, *OPTIONAL), str), na_filter=False)
    except FileNotFoundError:
        raise UnusableRunError(f"no {NAME} or {PACKED}, so the metrics cannot be checked") from None
    except (OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise UnusableRunError(f"{path.name} cannot be read: {printable(' '.join(str(error).split()))}") from None
    if missing := [column for column in REQUIRED if column not in table]:
        raise UnusableRunError(f"{path.name} lacks the column {missing[0]}")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus cells for an index
        raise UnusableRunError(f"{path.name} has rows with more cells than the header")
    for column in OPTIONAL:
        if column not in table:
            table[column] = ""
    table = table.fillna(dict.fromkeys((*REQUIRED, *OPTIONAL), ""))  # cells missing at the end of a row
    if (table[list(FILLED)] == "").any(axis=None):
        raise UnusableRunError(f"{path.name} has a row without {', '.join(FILLED[:-1])} or {FILLED[-1]}")
    table = table.sort_values(["subset", "utterance", "copy"], ignore_index=True)
    repeated = table.duplicated(["subset", "utterance", "copy"])
    if repeated.any():
        raise UnusableRunError(f"{path.name} holds a clip of the subset {table.subset[repeated].iloc[0]!r} twice")
    return table[[*COLUMNS, *(column for column in table if column not in COLUMNS)]]


def check_emotions(predictions: pd.DataFrame, emotions: Sequence[str]) -> None:
    """Raise UnusableRunError if a target or a prediction is not among the emotions."""
    for column in ("target", "prediction"):
        unknown = set(predictions[column]) - set(emotions)
        if unknown:
            raise UnusableRunError(f"{NAME}: {min(unknown)!r} in {column} is not among the emotions of result.json")


def clip_digest(clips: pd.DataFrame) -> str:
    """Return a digest of the clips of a subset and their targets; runs with equal digests can be compared by clip."""
    lines = clips.utterance + "," + clips["copy"] + "," + clips.target
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
