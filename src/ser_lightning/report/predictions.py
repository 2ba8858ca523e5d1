"""Read the predictions of a run from ``predictions.csv`` or ``predictions.csv.gz``."""

import csv
import gzip
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ser_lightning.metrics import Confusion, confusion_matrix

NAME, PACKED = "predictions.csv", "predictions.csv.gz"
COLUMNS = ("utterance", "speaker", "subset", "target", "prediction")
TOLD = ("gender", "intensity")  # optional columns, absent in older runs


class UnusableError(Exception):
    """Raised if a run folder cannot be read; its message becomes the reason why the run is left out."""


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Labels and predictions of the clips of one subset, sorted by utterance and copy.

    Args:
        utterance: id of each clip
        copy: name of the augmented copy that was evaluated; empty for the original clip
        speaker: speaker of each clip
        target: (N,), true class
        prediction: (N,), predicted class
        classes: number of classes
        gender: gender of the speaker of each clip; empty if a clip has none, as in older runs
        intensity: intensity of each clip; empty if a clip has none, as in older runs

    """

    utterance: tuple[str, ...]
    copy: tuple[str, ...]
    speaker: tuple[str, ...]
    target: NDArray[np.int64]
    prediction: NDArray[np.int64]
    classes: int
    gender: tuple[str, ...] = ()
    intensity: tuple[str, ...] = ()

    @property
    def altered(self) -> bool:
        """Whether any clip is an augmented copy."""
        return any(self.copy)

    @cached_property
    def names(self) -> list[str]:
        """Utterance id of each clip, followed by the name of the copy if it is one."""
        return [f"{id_} {copy}".rstrip() for id_, copy in zip(self.utterance, self.copy, strict=True)]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(N,), whether each clip is classified correctly."""
        found: NDArray[np.bool_] = self.target == self.prediction
        return found

    @property
    def speakers(self) -> list[str]:
        """Unique speakers, sorted."""
        return sorted(set(self.speaker))

    @cached_property
    def by_speaker(self) -> dict[str, Confusion]:
        """Speaker -> (C, C) counts, true classes in rows."""
        speakers = self.speakers
        place = {speaker: number for number, speaker in enumerate(speakers)}
        counts = np.zeros((len(speakers), self.classes, self.classes), np.int64)
        own = np.array([place[speaker] for speaker in self.speaker])
        np.add.at(counts, (own, self.target, self.prediction), 1)
        return dict(zip(speakers, counts, strict=True))

    def confusion(self, members: NDArray[np.bool_] | None = None) -> Confusion:
        """Return the (C, C) confusion counts of all clips, or of those where the mask ``members`` (N,) is true."""
        chosen = slice(None) if members is None else members
        return confusion_matrix(self.target[chosen], self.prediction[chosen], self.classes)

    def same_clips(self, other: "Clips") -> bool:
        """Return whether two runs were evaluated on the same clips with the same targets."""
        return self.names == other.names and np.array_equal(self.target, other.target)


def read_predictions(folder: Path, emotions: tuple[str, ...]) -> dict[str, Clips]:
    """Read the predictions of each subset; probability columns are ignored and may be absent.

    Args:
        folder: folder of the run
        emotions: class names in order

    Raises:
        UnusableError: the file is missing or cannot be read, a row lacks its utterance or speaker, an utterance (or one
            of its copies) occurs twice in a subset, or a class is not among the emotions

    """
    index = {emotion: number for number, emotion in enumerate(emotions)}
    rows: dict[str, list[tuple[str, str, str, int, int, str, str]]] = {}
    path = folder / NAME if (folder / NAME).exists() else folder / PACKED
    try:
        with _open(path) as file:
            for row in csv.DictReader(file):
                target, prediction = index[row["target"]], index[row["prediction"]]
                if not row["utterance"] or not row["speaker"]:
                    raise UnusableError(f"{path.name} has a row without utterance or speaker")
                gender, intensity = (row.get(column) or "" for column in TOLD)
                clip = row["utterance"], row.get("copy") or "", row["speaker"], target, prediction, gender, intensity
                rows.setdefault(row["subset"], []).append(clip)
    except FileNotFoundError:
        raise UnusableError(f"no {NAME} or {PACKED}, so the metrics cannot be checked") from None
    except KeyError as error:
        raise UnusableError(f"{path.name}: {error} is missing or not among the emotions") from None
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise UnusableError(f"{path.name} cannot be read: {error}") from None
    found = {}
    for subset, clips in rows.items():
        clips.sort()
        utterances, copies, speakers, targets, predictions, genders, intensities = zip(*clips, strict=True)
        if len(set(zip(utterances, copies, strict=True))) < len(utterances):
            raise UnusableError(f"{path.name} holds a {subset} utterance twice")
        found[subset] = Clips(
            utterance=utterances,
            copy=copies,
            speaker=speakers,
            target=np.array(targets, np.int64),
            prediction=np.array(predictions, np.int64),
            classes=len(emotions),
            gender=genders if all(genders) else (),
            intensity=intensities if all(intensities) else (),
        )
    return found


def _open(path: Path) -> TextIO:
    if path.name == PACKED:
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
