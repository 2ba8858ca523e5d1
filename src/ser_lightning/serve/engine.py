"""Predict an uploaded recording within limits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.open_file import Sound
from ser_lightning.audio.sound import open_sound
from ser_lightning.errors import InputError
from ser_lightning.predict.predictor import Predictor
from ser_lightning.predict.segment import Segment, SegmentPrediction
from ser_lightning.predict.splitting import Splitter


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of the service.

    Args:
        size: greatest size of an upload, bytes
        length: greatest length of a recording, seconds
        time: greatest time to compute an answer, seconds
        workers: recordings that are predicted at the same time
        queue: recordings that wait; more are refused

    Raises:
        InputError: a value is out of range

    """

    size: int
    length: float
    time: float
    workers: int
    queue: int

    def __post_init__(self) -> None:
        if self.size < 1 or not self.length > 0 or not self.time > 0 or self.workers < 1 or self.queue < 0:
            raise InputError(f"a limit of the service is out of range: {self}; expected numbers above 0")


class TooLongError(InputError):
    """Raised if a recording is longer than the limit."""


class TimeoutReachedError(InputError):
    """Raised if an answer takes longer than the limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """Predicts recordings; may be used by several threads.

    Args:
        splitter: divides a recording
        predictor: predicts its segments
        limits: limits of the service

    """

    splitter: Splitter
    predictor: Predictor
    limits: Limits

    def predict(self, path: Path, name: str) -> list[SegmentPrediction]:
        """Return the predictions of the segments of a recording.

        Args:
            path: the file
            name: its name for the user

        Raises:
            InputError: the file cannot be read as audio
            TooLongError: it is longer than the limit
            TimeoutReachedError: the time limit was reached

        """
        end = time.monotonic() + self.limits.time

        def in_time(segments: Iterator[Segment]) -> Iterator[Segment]:
            for segment in segments:
                if time.monotonic() > end:
                    raise TimeoutReachedError(f"the answer takes more than {self.limits.time:g} s; send a shorter part")
                yield segment

        def fail(reason: str) -> None:
            raise InputError(reason)

        try:
            segments = self.splitter.split(name, partial(_open_limited, path, seconds=self.limits.length))
            return [row for rows in self.predictor.predict(in_time(segments), on_failure=fail) for row in rows]
        except InputError as error:
            raise type(error)(str(error).replace(str(path), name)) from error


@contextmanager
def _open_limited(path: Path, *, seconds: float) -> Iterator[Sound]:
    """Open a recording whose blocks end with an error beyond a length."""
    with open_sound(path) as sound:

        def blocks() -> Iterator[npt.NDArray[np.float32]]:
            samples = 0
            for block in sound.blocks:
                samples += len(block)
                if samples > seconds * sound.rate:
                    raise TooLongError(f"the recording lasts more than {seconds:g} s; send a shorter part")
                yield block

        yield replace(sound, blocks=blocks())
