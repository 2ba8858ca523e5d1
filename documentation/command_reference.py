"""Reference pages of the commands, made from their own help."""

import importlib
import tomllib
from pathlib import Path

import typer
from typer.main import get_command

from documentation.config_reference import primary_table
from ser_lightning.cli import hydra_help

ROOT = Path(__file__).parents[1]
START = "ser_lightning.cli.start"
WIDTH = 110  # of the help, in characters


def command_pages() -> tuple[dict[str, str], list[str]]:
    """Return the page of each console script by name, and the options and keys that nothing explains."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    pages, unexplained = {}, []
    for command, target in sorted(scripts.items()):
        module, _, function = target.partition(":")
        if module == START:
            lines, missing = _hydra_page(command, function)
        else:
            lines, missing = _typer_page(command, importlib.import_module(module).APP)
        pages[command] = "\n".join(lines) + "\n"
        unexplained += missing
    return pages, unexplained


def _hydra_page(command: str, name: str) -> tuple[list[str], list[str]]:
    table, missing = primary_table(name)
    lines = [f"# `{command}`", "", "```text", hydra_help.first_screen(name), "```"]
    lines += ["", "## Values", "", "Change a value with `key=value`.", "", *table]
    lines += ["", "## Notes", "", "```text", hydra_help.notes(name), "```"]
    return [*lines, "", "The groups are described in [Configuration](configuration.md)."], missing


def _typer_page(command: str, app: typer.Typer) -> tuple[list[str], list[str]]:
    click_command = get_command(app)
    context = click_command.make_context(command, [], resilient_parsing=True, max_content_width=WIDTH)
    context.terminal_width = WIDTH
    missing = [f"{command}: {option.name}" for option in click_command.params if not getattr(option, "help", None)]
    return [f"# `{command}`", "", "```text", click_command.get_help(context).rstrip(), "```"], missing
