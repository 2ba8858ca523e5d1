"""``ser-predict``: predict the emotions of recordings."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning.cli.line import Inputs, Json, Settings, Trust, make_app, report_failures, run_app
from ser_lightning.errors import InputError
from ser_lightning.output import expand_user
from ser_lightning.output_checks import check_output

EPILOG = """
Examples:
  ser-predict recording.wav --model best.ckpt
  ser-predict "Recording (1).wav" 録音.wav folder/ --model best.ckpt --output emotions.csv
  ser-predict folder/ --model best.ckpt --json | head -1
  ser-predict folder/ --model best.ckpt --set audio=untrimmed --set data.batch_size=1

A checkpoint is written by ser-train (<run>/checkpoints/best.ckpt) or ser-import, and contains the whole configuration.
A file of ser-export (model.onnx) needs onnxruntime instead of torch.

Ends with 3 if some recordings could not be read; they are listed and left out. A name that starts with - goes after --.
"""
DOWNMIX = dict.fromkeys(
    ("audio.downmix", "corpus"),
    "new recordings are mixed down by the mean of their channels, whatever the training corpus was; give --channels"
    " left, right, each or a number for others",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-predict``."""
    run_app(APP, "ser-predict", arguments)


def predict(  # noqa: PLR0917 - Typer passes options by name
    inputs: Inputs,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL", help="The checkpoint, or the .onnx file of ser-export."),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .csv, .json or .jsonl file (JSON Lines), a device or pipe; - is standard output.",
        ),
    ] = "-",
    settings: Settings = None,
    one_speaker: Annotated[
        bool,
        typer.Option(
            "--one-speaker",
            help="All recordings are of one speaker, by whose clips the features are normalized; for checkpoints that"
            " were trained with data.normalize.",
        ),
    ] = False,
    channels: Annotated[
        str,
        typer.Option(
            "--channels",
            metavar="CHANNELS",
            help="The channels to predict: mean (of all, mixed down), left, right, each, or a number from 1.",
        ),
    ] = "mean",
    least_speech: Annotated[
        float,
        typer.Option(
            "--least-speech", min=0.0, metavar="SECONDS", help="Less speech than this is answered with: no speech."
        ),
    ] = 0.3,
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Predict the emotion of recordings: the most probable one and the probability of each."""
    from ser_lightning.cli.model_file import open_model
    from ser_lightning.predict.channels import check_channels
    from ser_lightning.predict.inputs import find_recordings
    from ser_lightning.predict.predictor import Predictor
    from ser_lightning.predict.recordings import read_segments
    from ser_lightning.predict.writer import CSV, JSON, JSON_LINES, PredictionWriter
    from ser_lightning.progress import show_progress

    if model is None:
        raise InputError("--model is missing; give --model <run folder>/checkpoints/best.ckpt")
    formats = (JSON_LINES, JSON) if json else (CSV, JSON, JSON_LINES)
    check_channels(channels)
    target = check_output(output, formats=formats, default=JSON_LINES if json else CSV)
    model = expand_user(model)
    recordings, failures = find_recordings(inputs)
    target.check_differs([model, *(recording.path for recording in recordings)])
    scorer, audio, batch_size = open_model(
        model, settings=settings or [], trust=trust or [], one_speaker=one_speaker, refused=DOWNMIX
    )
    predictor = Predictor(scorer, audio, batch_size=batch_size, least_speech=least_speech, one_speaker=one_speaker)

    total = len(recordings) + len(failures)
    paths = show_progress("recordings")([recording.path for recording in recordings], len(recordings))
    segments = read_segments(paths, channels=channels, on_failure=failures.append)
    with PredictionWriter(target, scorer.emotions) as writer:
        for predictions in predictor.predict(segments, on_failure=failures.append):
            writer.write(predictions)
    if len(failures) < total:
        print(f"{total - len(failures)} of {total} recordings: {target.name}", file=sys.stderr)
    return report_failures("ser-predict", failures, total=total)


APP = make_app("ser-predict", predict, epilog=EPILOG)
