"""Output of tables to the terminal."""

import sys

from rich.console import Console


def plain_console() -> Console:
    """Return a console for text without markup, which breaks no line in a file or pipe."""
    return Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False)
