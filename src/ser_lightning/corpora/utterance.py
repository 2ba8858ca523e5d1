"""Recordings of a corpus with their annotation, and the problems of a corpus."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_lightning.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One recording, or a segment of one, and its annotation; None stands for what the corpus does not give.

    Args:
        id: name of the utterance, unique in its corpus
        path: the audio file
        corpus: name of the corpus
        emotion: the label
        digest: SHA-256 of the file, in hexadecimal
        speaker: name of the speaker, unique in the corpus
        gender: gender of the speaker, such as ``"male"`` or ``"female"``
        age: age of the speaker, years
        statement: the spoken sentence, as named in the corpus
        take: number of the recording among those of the same speaker, emotion, intensity and statement, from 1
        intensity: intensity of the emotion, such as ``"normal"`` or ``"strong"``
        language: language as an ISO 639 code, such as ``"de"``
        start: start of the segment in the file, seconds
        end: end of the segment in the file, seconds
        channel: the only channel of the file that belongs to the utterance, counted from 0
        split: subset that the corpus itself assigns
        agreement: share of the raters who chose the label
        place: where the annotation is, for messages, such as ``"row 7"``

    """

    id: str
    path: Path
    corpus: str
    emotion: str
    digest: str
    speaker: str | None = None
    gender: str | None = None
    age: float | None = None
    statement: str | None = None
    take: int | None = None
    intensity: str | None = None
    language: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    split: str | None = None
    agreement: float | None = None
    place: str | None = None

    @property
    def segment(self) -> dict[str, Any]:
        """The segment and the channel, as arguments of :func:`ser_lightning.audio.reader.read_audio`."""
        return {"start": self.start, "end": self.end, "channel": self.channel}

    @property
    def content(self) -> str:
        """Identifier of the audio: the digest of the file, with the segment and the channel if they are given."""
        if self.start is None and self.end is None and self.channel is None:
            return self.digest
        return f"{self.digest} {self.start} {self.end} {self.channel}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A file or row of a corpus that is missing or cannot be used.

    Args:
        path: the file, or the expected name if it is missing
        reason: short description of the problem; its text up to the first colon names its kind

    """

    path: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason up to its first colon, without the path of the file."""
        return self.reason.partition(": ")[0].replace(self.path, "the file")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """The contents of a corpus.

    Args:
        utterances: the usable recordings, sorted by id
        problems: recordings that were skipped or are missing; unless ``on_problem="skip"``, only those that are
            unusable in the corpus as published

    """

    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...]


class ProblemsError(InputError):
    """A corpus has problems that its settings do not accept.

    Args:
        message: one line with the problems and what to do
        problems: one problem per file or row; unpickling, as from another process, sets them later

    """

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems
