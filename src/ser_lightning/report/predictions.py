"""What a run predicted, clip by clip, read from ``predictions.csv`` or ``predictions.csv.gz``."""

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
TOLD = ("gender", "intensity")  # columns that runs older than they do not have


class UnusableError(Exception):
    """Why a run folder cannot be read; becomes the reason why it is left out."""


@dataclass(frozen=True, kw_only=True)
class Clips:
    """The clips of one subset, sorted by utterance and copy.

    Args:
        utterance: id of each clip
        copy: name of the altered copy that was measured, empty where it was the clip itself
        speaker: of each clip
        target: (N,), true class
        prediction: (N,), predicted class
        classes: number of classes
        gender: of the speaker of each clip; empty in runs older than it
        intensity: of each clip; empty in runs older than it

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
        """Whether there are altered copies among them."""
        return any(self.copy)

    @cached_property
    def names(self) -> list[str]:
        """The utterance of each clip, with the name of the copy where it is one."""
        return [f"{id_} {copy}".rstrip() for id_, copy in zip(self.utterance, self.copy, strict=True)]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(N,), whether each clip was recognised."""
        found: NDArray[np.bool_] = self.target == self.prediction
        return found

    @property
    def speakers(self) -> list[str]:
        """Every speaker once, sorted."""
        return sorted(set(self.speaker))

    @cached_property
    def by_speaker(self) -> dict[str, Confusion]:
        """Speaker -> (C, C) counts, rows true."""
        speakers = self.speakers
        place = {speaker: number for number, speaker in enumerate(speakers)}
        counts = np.zeros((len(speakers), self.classes, self.classes), np.int64)
        own = np.array([place[speaker] for speaker in self.speaker])
        np.add.at(counts, (own, self.target, self.prediction), 1)
        return dict(zip(speakers, counts, strict=True))

    def confusion(self, members: NDArray[np.bool_] | None = None) -> Confusion:
        """(C, C) counts of all clips, or of those that ``members`` (N,) marks."""
        chosen = slice(None) if members is None else members
        return confusion_matrix(self.target[chosen], self.prediction[chosen], self.classes)

    def same_clips(self, other: "Clips") -> bool:
        """Whether two runs were measured on the same clips with the same targets."""
        return self.names == other.names and np.array_equal(self.target, other.target)


def read_predictions(folder: Path, emotions: tuple[str, ...]) -> dict[str, Clips]:
    """Read the clips of each subset; the probabilities are not looked at and may be absent.

    Args:
        folder: of the run
        emotions: the classes in order

    Raises:
        UnusableError: there is no such file, it cannot be read to its end, or it holds an utterance (or a copy of one)
            twice or a class that is not among the emotions

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
