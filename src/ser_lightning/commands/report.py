"""ser-report: the runs of a sweep compared, as report.html, report.md, report.json and figures."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ser_lightning.errors import InputError
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.arms import nearest
from ser_lightning.report.export import export_runs
from ser_lightning.report.report import DEFAULT_ARM, make_report
from ser_lightning.report.tables import arms_table

KEYS = ("arm", "baseline", "output", "export")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the program; ``None`` for that of the process

    """
    parser = argparse.ArgumentParser(
        prog="ser-report",
        description="Compare the runs of a sweep; write report.html, which needs no other file, report.md, report.json "
        "and figures/. Runs that are unfinished, damaged or at odds with their own predictions are left out and named; "
        "runs that differ in more than the arm, the seed and the fold are refused.",
        usage="ser-report <sweep folder> [arm=<group or key>] [baseline=<value>] [output=<folder>] [export=<folder>]",
    )
    parser.add_argument("folder", help="the sweep folder, such as outputs/ablation_dropout")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help=f"arm: the Hydra group or dotted config key that names the arms (default {DEFAULT_ARM}); "
        "baseline: the arm to compare with (default none, if it is an arm, or else the first); "
        "output: the folder of the report (default the sweep folder); "
        "export: a new folder for the compared runs in a form small enough to be committed, which ser-report reads too",
    )
    parsed = parser.parse_args(arguments)
    try:
        _report(parsed.folder, **_read_settings(parsed.settings))
    except InputError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"ser-report: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _read_settings(settings: Sequence[str]) -> dict[str, str]:
    read: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in KEYS:
            raise InputError(f"unknown key {key!r}; {nearest(key, KEYS)}")
        if not equals or not value:
            raise InputError(f"expected {key}=<value> but got {setting!r}.")
        if key in read:
            raise InputError(f"{key} is given twice.")
        read[key] = value
    return read


def _report(
    folder: str,
    *,
    arm: str = DEFAULT_ARM,
    baseline: str | None = None,
    output: str | None = None,
    export: str | None = None,
) -> None:
    report = make_report(folder, arm=arm, baseline=baseline)
    if export is not None:
        export_runs(report.comparison.runs, Path(folder), Path(export))
    path = report.write(None if output is None else Path(output))
    for item in report.left_out:
        print(f"ser-report: left out {item.path}: {item.reason}", file=sys.stderr)
    console = Console(highlight=False, markup=False)
    if is_synthetic(report.comparison):
        console.print(SYNTHETIC, style="bold", soft_wrap=True)
    for line in (report.answer, *(f"- {note}" for note in report.cautions)):
        console.print(line, soft_wrap=True)
    found = arms_table(report.comparison)
    table = Table(caption="percent; mean ± sd")
    # Arms become columns: in a terminal there is more room for metrics downwards than sideways.
    for number, title in enumerate([found.header[0], *(row[0] for row in found.rows)]):
        table.add_column(title, justify="right" if number else "left")
    for cells in list(zip(found.header, *found.rows, strict=True))[1:]:
        table.add_row(*cells)
    console.print(table)
    print(path)  # not through the console, which would break a long path into lines
