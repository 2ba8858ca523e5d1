"""Rows of the table of a benchmark, and the commands that it measures."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

BIN = Path(sys.executable).parent
NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table.

    Args:
        work: the measured task
        baseline: how the baseline does it
        unit: unit of the three values
        plain: value of the baseline; None if there is no baseline
        ours: value of this project
        floor: lower bound for this machine; None if unknown
        target: target of the project, in words
        note: how it was measured

    """

    work: str
    baseline: str
    unit: str
    plain: float | None
    ours: float
    floor: float | None = None
    target: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Speedup over the baseline: its time divided by ours or, for rates, ours divided by its rate."""
        if self.plain is None:
            return None
        return self.ours / self.plain if self.unit == "runs/h" else self.plain / self.ours


def run_command(command: str, *words: str, quiet: bool = False) -> None:
    """Run one of the project's commands."""
    process = subprocess.run(  # noqa: S603 - this project's own command
        [BIN / f"ser-{command}", *words], capture_output=quiet, text=True, check=False
    )
    if process.returncode:
        raise SystemExit(f"ser-{command} {' '.join(words)} failed:\n{process.stderr}")


def show(rows: Sequence[Row], title: str) -> None:
    """Print the table."""
    table = Table("work", "baseline", "unit", "baseline's", "ours", "ratio", "target", "floor", title=title)
    for row in rows:
        figures = (row.plain, row.ours)
        ratio = NOTHING if row.ratio is None else f"{row.ratio:.1f}x"
        floor = NOTHING if row.floor is None else f"{row.floor:.3g}"
        cells = [NOTHING if figure is None else f"{figure:.3g}" for figure in figures]
        table.add_row(row.work, row.baseline, row.unit, *cells, ratio, row.target, floor)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
