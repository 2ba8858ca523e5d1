"""Console scripts of the Hydra commands, with fast help and completion that do not import the training code."""

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from ser_lightning.cli.hydra_help import print_help
from ser_lightning.cli.line import complete_bash, complete_override, quiet_pipe

HELP = ("--help", "-h")
COMPLETION = ("--install-completion", "--show-completion")


def train() -> None:
    """Run the console script ``ser-train``."""
    start("train")


def prepare() -> None:
    """Run the console script ``ser-prepare``."""
    start("prepare")


def audit() -> None:
    """Run the console script ``ser-audit``."""
    start("audit")


def start(name: str) -> None:
    """Handle ``--help`` and completion directly, and pass any other command line to Hydra.

    Args:
        name: name of the command without ``ser-``, and of its module and primary config

    """
    command = f"ser-{name}"
    variable = f"_SER_{name.upper()}_COMPLETE"
    with quiet_pipe(command):
        if sys.argv[1:2] and sys.argv[1] in HELP:
            sys.exit(print_help(name, sys.argv[2:]))
        if variable in os.environ or any(word.startswith(COMPLETION) for word in sys.argv[1:]):
            app = completion_app(name)
            if os.environ.get(variable) == "complete_bash":
                complete_bash(lambda: app(args=[], prog_name=command))
            app(prog_name=command)
        import_module(f"ser_lightning.cli.{name}").main()


def completion_app(name: str) -> typer.Typer:
    """Return a Typer app with the options and overrides of a Hydra command, used only for completion."""
    app = typer.Typer(rich_markup_mode=None)

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return complete_override(incomplete, ctx.params.get("overrides") or [], name)

    @app.command()
    def line(  # noqa: PLR0917 - Typer passes options by name
        overrides: Annotated[list[str] | None, typer.Argument(autocompletion=complete)] = None,
        multirun: Annotated[bool, typer.Option("--multirun", "-m")] = False,
        cfg: Annotated[str | None, typer.Option("--cfg", autocompletion=lambda: ["job", "hydra", "all"])] = None,
        package: Annotated[str | None, typer.Option("--package", "-p")] = None,
        info: Annotated[bool, typer.Option("--info")] = False,
        resolve: Annotated[bool, typer.Option("--resolve")] = False,
        hydra_help: Annotated[bool, typer.Option("--hydra-help")] = False,
        config_dir: Annotated[str | None, typer.Option("--config-dir", "-cd")] = None,
    ) -> None:
        """Declare Hydra's options for completion; Hydra itself parses them."""

    return app
