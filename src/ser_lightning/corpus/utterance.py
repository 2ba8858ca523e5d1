"""One recording of a corpus and what is known of it."""

from dataclasses import dataclass
from pathlib import Path

from ser_lightning.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One recording and its annotation.

    Args:
        id: unique in its corpus; for RAVDESS the file stem
        path: the audio file
        corpus: name of the corpus
        speaker: name of the speaker, unique in the corpus
        gender: ``"male"`` or ``"female"``
        emotion: a label of :mod:`ser_lightning.emotions`
        intensity: of RAVDESS ``"normal"`` or ``"strong"``, of CREMA-D ``"low"``, ``"medium"`` or ``"high"``;
            ``"unspecified"`` where the corpus does not tell
        statement: the sentence spoken, as the corpus numbers it
        repetition: the take, counted from 1
        digest: SHA-256 of the file's bytes, in hexadecimal

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
    """Why a file of a corpus cannot be used, or is missing.

    Args:
        path: the file, or the name that was expected
        reason: what is wrong with it, in a few words

    """

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What a corpus folder holds.

    Args:
        utterances: the usable recordings, sorted by id
        problems: what was skipped or is missing; unless ``on_problem="skip"``, only what no folder can mend, because
            the corpus was published so

    """

    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...]


class ProblemsError(InputError):
    """A corpus is refused for its files.

    Args:
        message: one line of what is wrong and what to do
        problems: all that is wrong, file by file

    """

    def __init__(self, message: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(message)
        self.problems = problems
