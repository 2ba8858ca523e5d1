"""``make dropout``: does dropout help? On the study's own terms, mended, and for speakers who were never heard.

Three sweeps, each with its report. Started again, it goes on where it was. The page is made from small copies of the
runs that can be committed with it, so that anybody can make it again without training.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from studies.study import call, commits, read_command_line, refuse_in_a_line

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report import content
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.arms import Comparison
from ser_lightning.report.document import Block, Picture, Points, block_markdown
from ser_lightning.report.export import export_runs
from ser_lightning.report.figures import save
from ser_lightning.report.report import Report, make_report
from ser_lightning.report.tables import cost_table

RESULTS = "results"  # below the folder of the page: the small copies


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One of the questions that the study's question falls into.

    Args:
        name: of its folder
        question: in a sentence
        arms: options of the dropout group
        seeds: runs of each arm, if the command line allows as many
        overrides: of every run
        folds: of the cross-validation; None where there is one draw

    """

    name: str
    question: str
    arms: Sequence[str]
    seeds: int
    overrides: Sequence[str]
    folds: int | None = None

    def words(self, *, at_most: int) -> list[str]:
        """Return the overrides of the sweep; of each arm so many seeds at most."""
        folds = [f"split.fold=range({self.folds})"] if self.folds else []
        return [*self.overrides, f"dropout={','.join(self.arms)}", f"seed=range({min(at_most, self.seeds)})", *folds]


SWEEPS = (
    Sweep(
        name="released",
        question="The study's own experiment with all its defects, on its own split",
        arms=("none", "p25"),
        seeds=20,
        overrides=("experiment=[released,ablation_dropout]",),
    ),
    Sweep(
        name="corrected",
        question="Every defect mended, on the same split, with more and less dropout",
        arms=("none", "p10", "p25", "p50"),
        seeds=10,
        overrides=("experiment=[corrected,ablation_dropout]",),
    ),
    Sweep(
        name="speakers",
        question="Every defect mended, tested on speakers who were never heard: six folds of all clips",
        arms=("none", "p25"),
        seeds=3,
        overrides=("experiment=[corrected,ablation_dropout]", "split=speaker"),
        folds=6,
    ),
)


def train(folder: Path, sweep: Sweep, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a sweep that are not done yet, and write its own report."""
    place = (f"name={folder.name}/{sweep.name}", f"output_root={folder.parent}")
    call("ser-train", "--multirun", *rest, *sweep.words(at_most=seeds), *place)
    call("ser-report", str(folder / sweep.name))


def publish(folder: Path, docs: Path, *, command: str) -> Path:
    """Copy the finished runs, without weights, below ``docs`` and write the page there; return its path.

    Args:
        folder: of the sweeps
        docs: where the page goes
        command: that made the runs, for the page

    Raises:
        InputError: no sweep has a finished run

    """
    copies = docs / RESULTS / "dropout"
    for sweep in SWEEPS:
        source, target = folder / sweep.name, copies / sweep.name
        if source.is_dir():
            found = make_report(source)
            for item in found.left_out:
                print(f"left out {sweep.name}/{item.path}: {item.reason}", file=sys.stderr)
            shutil.rmtree(target, ignore_errors=True)
            export_runs(found.comparison.runs, source, target)
    return write(copies, docs, command=command)


def write(folder: Path, place: Path, *, command: str) -> Path:
    """Write the figures and, last, dropout.md; return the path of the latter.

    Args:
        folder: of the sweeps, or of their copies
        place: where to
        command: that made the runs

    Raises:
        InputError: no sweep is there

    """
    reports = {sweep.name: make_report(folder / sweep.name) for sweep in SWEEPS if (folder / sweep.name).is_dir()}
    if not reports:
        raise InputError(f"{folder} holds none of the sweeps {', '.join(s.name for s in SWEEPS)}; run them first")
    text, panels = page(reports, command=command)
    for name, panel in panels.items():
        save(panel, place / "figures" / f"{name}.png")
    with write_atomically(place / "dropout.md") as file:
        file.write(text)
    return place / "dropout.md"


def page(reports: dict[str, Report], *, command: str) -> tuple[str, dict[str, Figure]]:
    """Return the answers and below them what each rests on, and the panels by the names of their files."""
    asked = [sweep for sweep in SWEEPS if sweep.name in reports]
    lacking = [sweep for sweep in SWEEPS if sweep.name not in reports]
    comparisons = [reports[sweep.name].comparison for sweep in asked]
    sections = [section(sweep, reports[sweep.name]) for sweep in asked]
    parts = [
        "# Does dropout help?",
        f"**{SYNTHETIC}**" if any(map(is_synthetic, comparisons)) else "",
        "The study compared one run with dropout (0.25) and one without, and called a difference of 3 clips of 360 an "
        "answer. Here are the same question and two better ones, each with its own sweep; arms are paired by seed, and "
        "by fold where there are folds. What is claimed and what is not is decided by the rules of `ser-report`.",
        "\n".join(f"- {sweep.question} (`{sweep.name}`): **{reports[sweep.name].answer}**" for sweep in asked),
        *(f"Not run yet: `{sweep.name}`, {sweep.question.lower()}." for sweep in lacking),
        *(block_markdown(block) for blocks in sections for block in blocks),
        "## Origin",
        *(f"`{sweep.name}`: {_origin(reports[sweep.name].comparison)}." for sweep in asked),
        f"Made by:\n\n```sh\n{command}\n```",
        f"The runs lie beside this page, without weights. `python -m studies.dropout docs/{RESULTS}/dropout --table` "
        f"makes the page of them again in seconds, and `ser-report docs/{RESULTS}/dropout/{asked[0].name} "
        "output=<folder>` the whole report of a sweep, with learning curves, confusions, recall by emotion, gender and "
        "intensity, and the leak audit.",
    ]
    pictures = [block for blocks in sections for block in blocks if isinstance(block, Picture)]
    panels = {name: panel for picture in pictures for name, (_, panel) in picture.panels.items()}
    return "\n\n".join(part for part in parts if part) + "\n", panels


def section(sweep: Sweep, report: Report) -> list[Block]:
    """Return what a sweep's own report says of its arms, their differences, power and cost."""
    comparison, found = report.comparison, report.contrasts
    blocks = [
        f"## `{sweep.name}`",
        f"{sweep.question}.",
        Points(lines=report.cautions),
        *content.about_arms(comparison),
        *content.about_differences(comparison, found, report.cochran),
        *content.about_power(comparison, found),
        "What it cost, in seconds of runs that shared the machine.",
        cost_table(comparison),
    ]
    return [_named(block, sweep) if isinstance(block, Picture) else block for block in blocks]


def _named(picture: Picture, sweep: Sweep) -> Picture:
    """Give the panels names that no other sweep has."""
    panels = {f"dropout-{sweep.name}-{name}": panel for name, panel in picture.panels.items()}
    return Picture(caption=picture.caption, panels=panels)


def _origin(comparison: Comparison) -> str:
    first = comparison.runs[0]
    return (
        f"{first.corpus['name']}, {first.corpus['utterances']} utterances, {first.epochs} epochs, "
        f"{len(comparison.runs)} runs; {commits(comparison.runs)}; torch {first.versions.get('torch')}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not done yet and write the page."""
    study = read_command_line(
        "dropout",
        "Ask whether dropout helps, in three sweeps; write dropout.md. Started again, it goes on where it was.",
        arguments,
    )

    def run() -> None:
        for sweep in SWEEPS:
            if not study.table:
                train(study.folder, sweep, seeds=study.seeds, rest=study.overrides)
        if study.docs is None:
            print(write(study.folder, study.folder, command=study.command))
        else:
            print(publish(study.folder, study.docs, command=study.command))

    refuse_in_a_line("dropout", run)


if __name__ == "__main__":
    main()
