"""Segments of recordings and their predictions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NO_SPEECH = "no speech"  # the answer for a segment that holds too little speech


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A part of a recording.

    Args:
        path: path of the recording, as valid text
        channel: ``mono``, ``mean``, ``left``, ``right`` or the number of the channel, counted from 1
        duration: length of the recording, seconds
        start: start in the recording, seconds
        end: end in the recording, seconds
        wave: (samples,), full scale 1
        rate: sampling rate of ``wave``, Hz
        warnings: what makes a prediction for it doubtful

    """

    path: str
    channel: str
    duration: float
    start: float
    end: float
    wave: npt.NDArray[np.float32]
    rate: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentPrediction:
    """Prediction for a segment of a recording.

    Args:
        path: path of the recording, as valid text
        channel: ``mono``, ``mean``, ``left``, ``right`` or the number of the channel, counted from 1
        duration: length of the recording, seconds
        start: start in the recording, seconds
        end: end in the recording, seconds
        speech: seconds of speech in the segment
        answer: the most probable emotion, ``unsure``, or ``no speech``
        probabilities: emotion -> probability, in class order; None without speech
        emotions: prediction set, the most probable emotion first; None without speech, or if no sets were asked for
        warnings: what makes the prediction doubtful

    """

    path: str
    channel: str
    duration: float
    start: float
    end: float
    speech: float
    answer: str
    probabilities: dict[str, float] | None
    emotions: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
