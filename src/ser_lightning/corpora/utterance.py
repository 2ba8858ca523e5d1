"""Recordings of a corpus, their annotation and the problems of a corpus folder."""

from dataclasses import dataclass
from pathlib import Path

from ser_lightning.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One recording and its annotation.

    Args:
        id: name of the recording, unique in its corpus; for RAVDESS the file stem
        path: the audio file
        corpus: name of the corpus
        speaker: name of the speaker, unique in the corpus
        gender: ``"male"`` or ``"female"``
        emotion: a label of :mod:`ser_lightning.labels`
        intensity: ``"normal"`` or ``"strong"`` for RAVDESS, ``"low"``, ``"medium"`` or ``"high"`` for CREMA-D, and
            ``"unspecified"`` where the corpus does not give it
        statement: the spoken sentence, as named in the corpus
        repetition: the take, counted from 1
        digest: SHA-256 of the file, in hexadecimal

    """

    id: str
    path: Path
    corpus: str
    speaker: str
    gender: str
    emotion: str
    intensity: str
    statement: str
    repetition: int
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A file of a corpus that is missing or cannot be used.

    Args:
        path: the file, or the expected name if it is missing
        reason: short description of the problem

    """

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """The contents of a corpus folder.

    Args:
        utterances: the usable recordings, sorted by id
        problems: recordings that were skipped or are missing; unless ``on_problem="skip"``, only those that are
            unusable in the corpus as published

    """

    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...]


class ProblemsError(InputError):
    """A corpus has problems with its files that its settings do not accept.

    Args:
        message: one line with the problems and what to do
        problems: one problem per file

    """

    def __init__(self, message: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(message)
        self.problems = problems
