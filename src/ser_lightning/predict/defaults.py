"""Default values of prediction; fast to import."""

from pathlib import Path
from typing import TYPE_CHECKING

from ser_lightning.errors import InputError

if TYPE_CHECKING:
    from ser_lightning.recording_conditions import TrainingData  # imports numpy

DEFAULT_MODEL = Path(__file__).parents[1] / "default_model" / "emodb.ckpt"
MIN_LENGTH, PAUSE = 1.0, 0.5  # seconds
MAX_LENGTH = 10.0  # seconds, for models that do not say how long their training clips were
TIMES_LONGER = 1.5  # greatest length of an utterance, as a multiple of the 99th percentile of the training clips
WINDOW, HOP = 3.0, 1.0  # seconds
VADS = ("webrtc", "silero")  # detectors of speech
VAD = "webrtc"
ONNX_SUFFIX = ".onnx"
ONNX_TOLERANCE = 1e-4  # largest difference of a probability between a checkpoint and its ONNX file, unless allowed
MIN_SPEECH = 0.3  # seconds; noise without speech has blips that are taken for speech


def default_max_length(training_data: "TrainingData | None") -> float:
    """Return the greatest length of an utterance, seconds.

    Args:
        training_data: conditions of the training clips, or None if they are unknown

    """
    if training_data is None:
        return MAX_LENGTH
    return round(min(max(TIMES_LONGER * training_data.quantiles["seconds"]["p99"], 1.0), 60.0), 2)


def choose_mode(*, whole: bool, window: float | None, hop: float | None) -> tuple[str, float, float]:
    """Return how recordings are divided (``whole``, ``windows`` or ``speech``), and the window and its hop, seconds.

    Raises:
        InputError: the whole recording and windows are asked for

    """
    if whole and (window is not None or hop is not None):
        raise InputError("whole recordings and windows exclude each other; give --whole, or --window and --hop")
    mode = "whole" if whole else "speech" if window is None and hop is None else "windows"
    length = WINDOW if window is None else window
    return mode, length, min(HOP, length) if hop is None else hop
