"""``ser-predict``: command line for predicting emotions."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning.cli.line import Inputs, Json, Settings, Trust, make_app, run_app

EPILOG = """
Examples:
  ser-predict recording.wav --model best.ckpt
  ser-predict "Recording (1).wav" 録音.wav folder/ --model best.ckpt --output emotions.csv
  ser-predict folder/ --model best.ckpt --json | head -1
  ser-predict folder/ --model best.ckpt --set audio=untrimmed --set data.batch_size=1

A checkpoint is written by ser-train (<run>/checkpoints/best.ckpt) or ser-import, and carries the whole configuration.

Ends with 3 if some recordings could not be read; they are listed and left out. A name that starts with - goes after --.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-predict``."""
    run_app(APP, "ser-predict", arguments)


def predict(  # noqa: PLR0917 - Typer passes options by name
    inputs: Inputs,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="CHECKPOINT", help="The checkpoint that predicts.")
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
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Predict the emotion of recordings: the most probable one and the probability of each."""
    from ser_lightning.cli.predict_recordings import predict_recordings

    return predict_recordings(inputs, model=model, output=output, settings=settings or [], json=json, trust=trust or [])


APP = make_app("ser-predict", predict, epilog=EPILOG)
