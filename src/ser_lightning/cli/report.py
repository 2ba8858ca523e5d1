"""``ser-report``: command line for comparing the runs of a sweep."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning.cli.line import Json, make_app, run_app

EPILOG = """
Examples:
  ser-report outputs/ablation_dropout
  ser-report outputs/train --arm optim.lr --baseline 0.001
  ser-report outputs/ablation_dropout --export docs/results/dropout --output /tmp/report

It writes report.html, which needs no other file, report.md, report.json and figures/. Runs that are unfinished, damaged
or at odds with their own predictions are left out and named; runs that differ in more than the arm, the seed and the
fold are refused.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-report``."""
    run_app(APP, "ser-report", arguments)


def report(  # noqa: PLR0917 - Typer passes options by name
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="The folder of the sweep.")],
    arm: Annotated[
        str, typer.Option("--arm", metavar="KEY", help="The group or dotted config key that names the arms.")
    ] = "dropout",
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="VALUE", help="The arm to compare with: none if it is an arm, or else the first."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to write; by default the sweep folder."),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="FOLDER",
            help="A new folder for the runs in a form small enough to be committed, which ser-report reads too.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare the runs of a sweep: an answer in words, tables, intervals, tests and figures."""
    from ser_lightning.cli.write_report import write_report

    write_report(sweep, arm=arm, baseline=baseline, output=output, export=export, json=json)


APP = make_app("ser-report", report, epilog=EPILOG)
