"""``ser-features``: command line for extracting features."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning.cli.line import Inputs, Json, Settings, Trust, make_app, run_app

EPILOG = """
Examples:
  ser-features recording.wav --output features
  ser-features folder/ "Recording (1).wav" --output features --set features=released --set audio=untrimmed

Of a folder the output has the layout. Where two files would get one name, each keeps its path below the folder that all
inputs have in common.

Groups that can be set: audio, features, corpus (for how its channels are mixed down); and any value of these.

Ends with 3 if some recordings could not be read; they are listed and left out. A name that starts with - goes after --.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-features``."""
    run_app(APP, "ser-features", arguments)


def features(  # noqa: PLR0917 - Typer passes options by name
    inputs: Inputs,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write to.")
    ] = None,
    settings: Settings = None,
    trust: Trust = None,
    config_dir: Annotated[
        str | None,
        typer.Option("--config-dir", metavar="FOLDER", help="A folder with your own options, as features/mine.yaml."),
    ] = None,
    json: Json = False,
) -> int:
    """Write the features of recordings: one .npy file for each, frames x features."""
    from ser_lightning.cli.extract_features import extract_features

    return extract_features(
        inputs, output=output, settings=settings or [], json=json, trust=trust or [], config_dir=config_dir
    )


APP = make_app("ser-features", features, epilog=EPILOG)
