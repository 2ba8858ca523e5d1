"""``ser-report``: compare the runs of a sweep."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ser_lightning.cli.line import Json, make_app, run_app
from ser_lightning.errors import InputError
from ser_lightning.memory import permanent_imports
from ser_lightning.output import STANDARD_OUTPUT, expand_user
from ser_lightning.output_checks import check_folder, check_output

if TYPE_CHECKING:
    from ser_lightning.report.report import Report

CLIPS = 40  # on the page with players
EPILOG = """
Examples:
  ser-report outputs/ablation_dropout
  ser-report outputs/train --arm optim.lr --baseline 0.001
  ser-report outputs/ablation_dropout --latex
  ser-report outputs/ablation_dropout --with-audio --baseline p25
  ser-report outputs/ablation_dropout --export docs/results/dropout --output reports/dropout

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
    latex: Annotated[
        bool,
        typer.Option(
            "--latex", help="Also write tables, a methods paragraph and a bibliography for a paper to latex/."
        ),
    ] = False,
    with_audio: Annotated[
        bool,
        typer.Option(
            "--with-audio",
            help="Also write report_with_audio.html: the errors of the baseline arm with players. It needs the corpus.",
        ),
    ] = False,
    clips: Annotated[
        int | None,
        typer.Option(
            "--clips", metavar="N", min=1, help=f"With --with-audio: the largest number of clips [default: {CLIPS}]."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare the runs of a sweep: an answer in words, tables, intervals, tests and figures."""
    with permanent_imports("ser_lightning.report.report"):
        from ser_lightning.report.export import export_runs
        from ser_lightning.report.report import make_report

    if clips is not None and not with_audio:
        raise InputError("--clips limits the clips of --with-audio; give --with-audio too, or leave out --clips")
    folder = Path(expand_user(sweep))
    target = None if output is None else check_folder(output)
    copies = None if export is None else check_folder(export)
    if folder.is_dir() and target is None:
        check_folder(str(folder))
    if with_audio:
        from ser_lightning.listening.page import check_not_committed, check_recordings

        check_not_committed(target or folder)
        check_recordings(folder)
    sweep_report = make_report(folder, arm=arm, baseline=baseline)
    if copies is not None:
        export_runs(sweep_report.comparison, folder, copies)
    if with_audio:
        from ser_lightning.listening.page import write_errors_page

        page = write_errors_page(sweep_report, target or folder, most=clips or CLIPS)
    path = sweep_report.write(target)
    if latex:
        from ser_lightning.paper.write import write_latex

        write_latex(sweep_report, target or folder)
    for item in sweep_report.left_out:
        print(f"ser-report: left out {item.path}: {item.reason}", file=sys.stderr)
    if json:
        text = path.with_name("report.json").read_text(encoding="utf-8")
        check_output(STANDARD_OUTPUT, formats=(".json",), default=".json").write(text)
    else:
        _print(sweep_report, path)
        if with_audio:
            print(page)


def _print(report: "Report", path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from ser_lightning.report.answer import SYNTHETIC, is_synthetic
    from ser_lightning.report.tables import arms_table

    console = Console(highlight=False, markup=False)
    if is_synthetic(report.comparison.runs):
        console.print(SYNTHETIC, style="bold", soft_wrap=True)
    for line in (report.answer, *(f"- {note}" for note in report.cautions)):
        console.print(line, soft_wrap=True)
    arms = arms_table(report.comparison)
    table = Table(caption="percent; mean ± sd")
    # Arms become columns, because a terminal has more room for metrics in rows.
    for number, title in enumerate([arms.columns[0], *arms.iloc[:, 0]]):
        table.add_column(title, justify="right" if number else "left")
    for title in arms.columns[1:]:
        table.add_row(title, *arms[title])
    console.print(table)
    print(path)  # without the console, which would wrap a long path


APP = make_app("ser-report", report, epilog=EPILOG)
