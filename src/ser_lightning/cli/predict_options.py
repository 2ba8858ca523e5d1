"""Options of ``ser-predict``."""

from typing import TYPE_CHECKING, Annotated

import typer

from ser_lightning.errors import InputError

if TYPE_CHECKING:
    from ser_lightning.recording_conditions import TrainingData  # imports numpy

MIN_LENGTH, PAUSE = 1.0, 0.5  # seconds
MAX_LENGTH = 10.0  # seconds, for models that do not say how long their training clips were
TIMES_LONGER = 1.5  # greatest length of an utterance, as a multiple of the 99th percentile of the training clips
WINDOW, HOP = 3.0, 1.0  # seconds
MIN_SPEECH = 0.3  # seconds; noise without speech has blips that are taken for speech

Model = Annotated[str | None, typer.Option("--model", "-m", metavar="CHECKPOINT", help="The checkpoint that predicts.")]
Target = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="A .csv, .json, .jsonl, .audformat.csv, .rttm, .TextGrid, .txt (Audacity) or .vtt file, a device or pipe;"
        " - is standard output. A folder for several recordings in a format of one.",
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="csv, json, jsonl, audformat, rttm, textgrid, audacity or vtt [default: by the ending of the output].",
        show_default=False,
    ),
]
Summary = Annotated[
    bool, typer.Option("--summary", help="Write one row per recording and channel, the mean of its segments.")
]
Timeline = Annotated[
    str | None,
    typer.Option(
        "--timeline",
        metavar="FOLDER",
        help="Draw the timeline of each recording, as a picture and as a page with a player; or give a .png or .html"
        " file for one recording.",
        show_default=False,
    ),
]
Whole = Annotated[bool, typer.Option("--whole", help="Predict each recording at once, instead of its utterances.")]
Window = Annotated[
    float | None,
    typer.Option(
        "--window",
        metavar="SECONDS",
        help=f"Predict sliding windows of this length, instead of utterances (with --hop: {WINDOW:g}).",
        show_default=False,
    ),
]
Hop = Annotated[
    float | None,
    typer.Option(
        "--hop",
        metavar="SECONDS",
        help=f"Time between the starts of windows (with --window: {HOP:g}, or the window if that is shorter).",
        show_default=False,
    ),
]
MinLength = Annotated[
    float | None,
    typer.Option(
        "--min-length",
        metavar="SECONDS",
        help=f"Least length of an utterance [default: {MIN_LENGTH:g}].",
        show_default=False,
    ),
]
MaxLength = Annotated[
    float | None,
    typer.Option(
        "--max-length",
        metavar="SECONDS",
        help="Greatest length of an utterance; a recording that is not longer is one segment [default:"
        f" {TIMES_LONGER:g} times the 99th percentile of the training clips, or {MAX_LENGTH:g}].",
        show_default=False,
    ),
]
Pause = Annotated[float, typer.Option("--pause", metavar="SECONDS", help="Length of a pause that ends an utterance.")]
Vad = Annotated[
    str,
    typer.Option(
        "--vad",
        metavar="DETECTOR",
        help="Detector of speech: webrtc, with the settings of training, or silero (extra silero).",
    ),
]
MinSpeech = Annotated[
    float,
    typer.Option(
        "--min-speech", min=0.0, metavar="SECONDS", help="A segment with less speech is answered with: no speech."
    ),
]
Channels = Annotated[
    str,
    typer.Option(
        "--channels",
        metavar="CHANNELS",
        help="The channels to predict: mean (of all, mixed down), left, right, each, or a number from 1.",
    ),
]
Reject = Annotated[
    float,
    typer.Option(
        "--reject",
        metavar="SHARE",
        help="Answer unsure where the model is less certain than on all but this share of the validation clips, such as"
        " 0.1.",
    ),
]
SetSize = Annotated[
    bool,
    typer.Option(
        "--set-size",
        help="Also write a set of emotions and its size: sets hold the right emotion for 90 % of recordings like the"
        " validation clips.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Allow --set to change values that the model was trained with.")]
OneSpeaker = Annotated[
    bool,
    typer.Option(
        "--one-speaker",
        help="All recordings are of one speaker, by whose clips the features are normalized; for checkpoints that"
        " were trained with data.normalize.",
    ),
]


def choose_mode(*, whole: bool, window: float | None, hop: float | None) -> tuple[str, float, float]:
    """Return how recordings are divided (``whole``, ``windows`` or ``speech``), and the window and its hop, seconds.

    Raises:
        InputError: ``--whole`` is given with a window

    """
    if whole and (window is not None or hop is not None):
        raise InputError("--whole and --window exclude each other; give one of them")
    mode = "whole" if whole else "speech" if window is None and hop is None else "windows"
    length = WINDOW if window is None else window
    return mode, length, min(HOP, length) if hop is None else hop


def default_max_length(training_data: "TrainingData | None") -> float:
    """Return the greatest length of an utterance, seconds.

    Args:
        training_data: conditions of the training clips, or None if they are unknown

    """
    if training_data is None:
        return MAX_LENGTH
    return round(min(max(TIMES_LONGER * training_data.quantiles["seconds"]["p99"], 1.0), 60.0), 2)
