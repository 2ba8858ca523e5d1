"""Studies of several sweeps: run them, export compact copies of their runs, and write a page from these."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.study import call, commits, exit_on_input_error, read_command_line

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.arms import Comparison
from ser_lightning.report.context import section_context
from ser_lightning.report.export import export_runs
from ser_lightning.report.figures import save
from ser_lightning.report.panels import paired_panel
from ser_lightning.report.render import Panel, render_markdown
from ser_lightning.report.report import DEFAULT_ARM, Report, make_report
from ser_lightning.report.tables import cost_table, markdown

RESULTS = "results"  # folder of the compact copies, inside the folder of the page


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One sweep of a study.

    Args:
        name: name of its folder
        question: the question it answers, in a sentence
        arm: the config group or key that differs between arms
        arms: options or values of the arms
        seeds: number of runs of each arm, unless the command line allows fewer
        overrides: overrides of every run
        folds: number of cross-validation folds; None for a single split
        on_request: whether it runs only if requested by name

    """

    name: str
    question: str
    arm: str
    arms: Sequence[str]
    seeds: int
    overrides: Sequence[str]
    folds: int | None = None
    on_request: bool = False

    def words(self, *, at_most: int) -> list[str]:
        """Return the overrides of the sweep, with at most ``at_most`` seeds per arm."""
        folds = [f"split.fold=range({self.folds})"] if self.folds else []
        return [*self.overrides, f"{self.arm}={','.join(self.arms)}", f"seed=range({min(at_most, self.seeds)})", *folds]

    def report(self, folder: Path) -> Report:
        """Compare the arms of the runs in a folder."""
        return make_report(folder, arm=self.arm)


@dataclass(frozen=True, kw_only=True)
class SweepStudy:
    """A study that consists of several sweeps.

    Args:
        name: name of the study, its page and the folder of its copies
        title: the question of the study
        introduction: a paragraph about the question and the method
        sweeps: the sweeps in the order of the page

    """

    name: str
    title: str
    introduction: str
    sweeps: Sequence[Sweep]

    def publish(self, folder: Path, docs: Path, *, command: str) -> Path:
        """Export the finished runs without weights below ``docs`` and write the page there; return its path.

        Args:
            folder: folder of the sweeps
            docs: folder of the page
            command: command that made the runs, for the page

        Raises:
            InputError: no sweep has a finished run

        """
        copies = docs / RESULTS / self.name
        for sweep in self.sweeps:
            source, target = folder / sweep.name, copies / sweep.name
            if has_results(source):
                report = sweep.report(source)
                for item in report.left_out:
                    print(f"left out {sweep.name}/{item.path}: {item.reason}", file=sys.stderr)
                shutil.rmtree(target, ignore_errors=True)
                export_runs(report.comparison, source, target)
        return self.write(copies, docs, command=command)

    def write(self, folder: Path, place: Path, *, command: str) -> Path:
        """Write the figures and, last, the page; return the path of the page.

        Args:
            folder: folder of the sweeps, or of their copies
            place: folder to write to
            command: command that made the runs

        Raises:
            InputError: the folder contains none of the sweeps

        """
        reports = {
            sweep.name: sweep.report(folder / sweep.name) for sweep in self.sweeps if has_results(folder / sweep.name)
        }
        if not reports:
            raise InputError(
                f"{folder} has none of the sweeps {', '.join(s.name for s in self.sweeps)}. Run them first."
            )
        text, panels = self.page(reports, command=command)
        for name, panel in panels.items():
            save(panel.figure, place / "figures" / f"{name}.png")
        with write_atomically(place / f"{self.name}.md") as file:
            file.write(text)
        return place / f"{self.name}.md"

    def page(self, reports: dict[str, Report], *, command: str) -> tuple[str, dict[str, Panel]]:
        """Return the text of the page, with answers followed by their evidence, and file name -> figure."""
        there = [sweep for sweep in self.sweeps if sweep.name in reports]
        lacking = [sweep for sweep in self.sweeps if sweep.name not in reports]
        panels = {f"{self.name}-{sweep.name}-paired": paired_panel(reports[sweep.name].comparison) for sweep in there}
        copies = f"docs/{RESULTS}/{self.name}"
        arm = "" if there[0].arm == DEFAULT_ARM else f"--arm {there[0].arm} "
        parts = [
            f"# {self.title}",
            f"**{SYNTHETIC}**" if any(is_synthetic(reports[sweep.name].comparison.runs) for sweep in there) else "",
            self.introduction,
            "\n".join(f"- {sweep.question} (`{sweep.name}`): **{reports[sweep.name].answer}**" for sweep in there),
            *(f"Not run yet: `{sweep.name}`, {sweep.question.lower()}." for sweep in lacking),
            *map(self.section, there, (reports[sweep.name] for sweep in there), panels.values()),
            "## Origin",
            *(f"`{sweep.name}`: {_origin(reports[sweep.name].comparison)}." for sweep in there),
            f"Made by:\n\n```sh\n{command}\n```",
            f"The runs are beside this page, without weights. `python -m studies.{self.name} {copies} --table` "
            f"rewrites the page from them in seconds, and `ser-report {copies}/{there[0].name} {arm}--output <folder>` "
            "writes the full report of a sweep, with learning curves, confusion matrices, recall by emotion, gender "
            "and intensity, and the leak checks.",
        ]
        return "\n\n".join(part for part in parts if part) + "\n", panels

    def section(self, sweep: Sweep, report: Report, panel: Panel) -> str:
        """Return the section of a sweep: its cautions, arms, differences, power and cost."""
        comparison = report.comparison
        prefix = f"{self.name}-{sweep.name}-"
        context = section_context(comparison, report.contrasts, report.cochran)
        names = ["arms", "differences", *(["power"] if report.contrasts else [])]
        parts = [
            f"## `{sweep.name}`",
            f"{sweep.question}.",
            "\n".join(f"- {note}" for note in report.cautions),
            *(render_markdown(f"{name}.md.j2", {"paired": panel}, prefix=prefix, **context).strip() for name in names),
            "Cost, in seconds of runs that shared the machine.",
            markdown(cost_table(comparison)),
        ]
        return "\n\n".join(parts)

    def main(self, arguments: Sequence[str] | None, *, description: str) -> None:
        """Run the sweeps that are not finished and write the page."""
        study = read_command_line(self.name, description, arguments, sweeps=[sweep.name for sweep in self.sweeps])
        wanted = study.sweeps or [sweep.name for sweep in self.sweeps if not sweep.on_request]

        def run() -> None:
            for sweep in self.sweeps:
                if not study.table and sweep.name in wanted:
                    train(study.folder, sweep, seeds=study.seeds, rest=study.overrides)
            if study.docs is None:
                print(self.write(study.folder, study.folder, command=study.command))
            else:
                print(self.publish(study.folder, study.docs, command=study.command))

        exit_on_input_error(self.name, run)


def has_results(folder: Path) -> bool:
    """Return whether a run of a sweep is finished; a study that was stopped may have begun a sweep without."""
    return any(folder.rglob("result.json"))


def train(folder: Path, sweep: Sweep, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a sweep that are not finished, and write the report of the sweep."""
    place = (f"name={folder.name}/{sweep.name}", f"output_root={folder.parent}")
    call("ser-train", "--multirun", *rest, *sweep.words(at_most=seeds), *place)
    call("ser-report", str(folder / sweep.name), *([] if sweep.arm == DEFAULT_ARM else ["--arm", sweep.arm]))


def _origin(comparison: Comparison) -> str:
    first = comparison.runs.iloc[0]
    return (
        f"{first.corpus['name']}, {first.corpus['utterances']} utterances, {first.epochs} epochs, "
        f"{len(comparison.runs)} runs; {commits(comparison.runs)}; torch {first.versions.get('torch')}"
    )
