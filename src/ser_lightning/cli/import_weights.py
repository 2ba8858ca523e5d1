"""``ser-import``: command line for importing the released weights."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning.cli.line import Json, Settings, make_app, run_app

EPILOG = """
Example:
  ser-import model.pt --output released.ckpt

The checkpoint carries the configuration of experiment=released; --set experiment=<another> or any key changes it.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-import``."""
    run_app(APP, "ser-import", arguments)


def import_weights(
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help="The released state dict, model.pt.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The checkpoint to write, a .ckpt file.")
    ] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Convert the weights that the study released to a checkpoint that carries its whole configuration."""
    from ser_lightning.cli.convert_weights import convert_weights

    convert_weights(weights, output=output, settings=settings or [], json=json)


APP = make_app("ser-import", import_weights, epilog=EPILOG)
