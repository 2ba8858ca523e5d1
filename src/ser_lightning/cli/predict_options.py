"""Options of ``ser-predict``."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from ser_lightning.errors import InputError
from ser_lightning.predict.defaults import HOP, MAX_LENGTH, MIN_LENGTH, TIMES_LONGER, WINDOW

STDIN = "-"  # the input that stands for standard input

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="CHECKPOINT",
        help="The checkpoint that predicts [default: the model of the package].",
        show_default=False,
    ),
]
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
MinSpeech = Annotated[
    float,
    typer.Option(
        "--min-speech", min=0.0, metavar="SECONDS", help="A segment with less speech is answered with: no speech."
    ),
]
Vad = Annotated[
    str,
    typer.Option(
        "--vad",
        metavar="NAME",
        help="Find and measure speech by webrtc, with the settings of training, or by the network silero (extra"
        " silero). What the model takes of a segment stays as trained.",
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
NormalizeLoudness = Annotated[
    bool,
    typer.Option("--normalize-loudness", help="Scale each recording to the median level of the training clips."),
]
SamplingRate = Annotated[
    int | None,
    typer.Option(
        "--sampling-rate",
        metavar="HZ",
        help="The sampling rate of raw samples from standard input (INPUT is -).",
        show_default=False,
    ),
]
SampleFormat = Annotated[
    str, typer.Option("--sample-format", metavar="NAME", help="Format of raw samples, one channel: s16le or f32le.")
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


def check_stream(inputs: Sequence[str], *, sampling_rate: int | None, refused: Mapping[str, object]) -> bool:
    """Return whether the input is a stream of raw samples from standard input.

    Args:
        inputs: the inputs
        sampling_rate: that of the stream, Hz, or None
        refused: options that need files -> their value

    Raises:
        InputError: the options do not fit the input

    """
    if list(inputs) != [STDIN]:
        if STDIN in inputs:
            raise InputError("- is raw samples from standard input; expected no other input beside it")
        if sampling_rate is not None:
            raise InputError("--sampling-rate is for raw samples from standard input; give - as the only input")
        return False
    if sampling_rate is None:
        raise InputError("raw samples from standard input have no header; give --sampling-rate, such as 16000")
    for option, value in refused.items():
        if value:
            raise InputError(f"{option} needs recordings in files; leave it out")
    return True
