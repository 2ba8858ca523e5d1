"""Write and print the report of a sweep."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ser_lightning.output import STANDARD_OUTPUT, check_folder, check_output, expand_user
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.export import export_runs
from ser_lightning.report.report import Report, make_report
from ser_lightning.report.tables import arms_table


def write_report(
    sweep: str, *, arm: str, baseline: str | None, output: str | None, export: str | None, json: bool
) -> None:
    """Write the report of a sweep and print its answer.

    Args:
        sweep: folder of the sweep
        arm: the group or key whose values are the arms
        baseline: the arm to compare with
        output: folder of the report; ``None`` for the sweep folder
        export: new folder for the compared runs
        json: print ``report.json`` instead of the answer

    Raises:
        InputError: there is nothing to compare, or the output is not writable

    """
    folder = Path(expand_user(sweep))
    target = None if output is None else check_folder(output)
    copies = None if export is None else check_folder(export)
    if folder.is_dir() and target is None:
        check_folder(str(folder))
    report = make_report(folder, arm=arm, baseline=baseline)
    if copies is not None:
        export_runs(report.comparison, folder, copies)
    path = report.write(target)
    for item in report.left_out:
        print(f"ser-report: left out {item.path}: {item.reason}", file=sys.stderr)
    if json:
        text = path.with_name("report.json").read_text(encoding="utf-8")
        check_output(STANDARD_OUTPUT, formats=(".json",), default=".json").write(text)
    else:
        _print(report, path)


def _print(report: Report, path: Path) -> None:
    console = Console(highlight=False, markup=False)
    if is_synthetic(report.comparison.runs):
        console.print(SYNTHETIC, style="bold", soft_wrap=True)
    for line in (report.answer, *(f"- {note}" for note in report.cautions)):
        console.print(line, soft_wrap=True)
    found = arms_table(report.comparison)
    table = Table(caption="percent; mean ± sd")
    # Arms become columns, because a terminal has more room for metrics in rows.
    for number, title in enumerate([found.columns[0], *found.iloc[:, 0]]):
        table.add_column(title, justify="right" if number else "left")
    for title in found.columns[1:]:
        table.add_row(title, *found[title])
    console.print(table)
    print(path)  # without the console, which would wrap a long path
