"""``ser-import``: convert the released weights to a checkpoint."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ser_lightning.cli.line import Json, Settings, make_app, run_app
from ser_lightning.config_files import groups
from ser_lightning.errors import InputError, printable
from ser_lightning.output import expand_user, json_lines
from ser_lightning.output_checks import check_output

EPILOG = """
Example:
  ser-import model.pt --output released.ckpt

The checkpoint contains the configuration of experiment=released; --set experiment=<another> or any key changes it.
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
    """Convert the weights that the study released to a checkpoint that contains its whole configuration."""
    if output is None:
        raise InputError("--output is missing; give --output released.ckpt")
    target = check_output(output, formats=(".ckpt",), default=".ckpt")
    path = Path(expand_user(weights))
    target.check_differs([path])
    from ser_lightning.cli.settings import compose_config
    from ser_lightning.released_weights import convert_weights

    config = compose_config({"experiment": "released", "run_id": "imported"}, settings or [], choices=groups())
    content, count = convert_weights(path, config=config)
    target.write(content)
    stream = sys.stderr if target.is_standard_output else sys.stdout
    if json:
        print(json_lines([{"weights": str(path), "checkpoint": target.name, "parameters": count}]), end="", file=stream)
    else:
        print(f"{count} parameters of {printable(path)}: {target.name}", file=stream)


APP = make_app("ser-import", import_weights, epilog=EPILOG)
