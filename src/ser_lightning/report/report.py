"""Compare the arms of a sweep and write report.html, report.md, report.json and the figures."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ser_lightning.atomic import write_atomically
from ser_lightning.report import figures
from ser_lightning.report.answer import answer, cautions
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.clip_tests import CochranQ
from ser_lightning.report.context import fairness_context, report_context, robustness_context, section_context
from ser_lightning.report.contrasts import Contrasts, cochran, contrasts
from ser_lightning.report.fairness import Fairness, fairness
from ser_lightning.report.panels import draw_panels, robustness_panels
from ser_lightning.report.render import Panel, render_markdown, render_page
from ser_lightning.report.report_json import comparison_json, fairness_json, robustness_json
from ser_lightning.report.robustness import robustness_of_runs
from ser_lightning.report.runs import LeftOut, read_runs

FORMAT = 2
DEFAULT_ARM = "dropout"
FIGURES = ("paired", "loss", "uar", "recall", "confusion-*", "reliability-*", "risk", "robustness-*")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Results of a sweep.

    Args:
        folder: the sweep folder
        command: the command line that makes this report
        comparison: the arms and their runs
        left_out: the run folders that were excluded
        contrasts: arm -> metric -> contrast with the baseline, in points
        cochran: Cochran's Q test of the test clips; ``None`` with fewer than three arms or if their clips differ
        fairness: arm -> metrics by group of test clips, with all runs of the arm pooled
        robustness: arm -> UAR under conditions of recording, of the arms all of whose runs have it
        answer: the conclusion from the test accuracies, in sentences
        cautions: what a reader should know before relying on the answer

    """

    folder: Path
    command: str
    comparison: Comparison
    left_out: Sequence[LeftOut]
    contrasts: Contrasts
    cochran: CochranQ | None
    fairness: Mapping[str, Fairness]
    robustness: Mapping[str, pd.DataFrame]
    answer: str
    cautions: Sequence[str]

    @property
    def title(self) -> str:
        """Name of the sweep, and its arms."""
        return f"{self.comparison.runs.name.iloc[0]}: {self.comparison.arm} = {', '.join(self.comparison.arms)}"

    def panels(self) -> dict[str, Panel]:
        """Draw all figures."""
        return draw_panels(self.comparison) | robustness_panels(self.robustness, self.comparison.emotions)

    def markdown(self, panels: dict[str, Panel]) -> str:
        """Return the report as Markdown that refers to its panels as ``figures/<name>.png``."""
        comparison = self.comparison
        return render_markdown(
            "report.md.j2",
            panels,
            title=self.title,
            answer=self.answer,
            cautions=self.cautions,
            left_out=self.left_out,
            command=self.command,
            confusions=[name for name in panels if name.startswith("confusion")],
            calibrated="risk" in panels,
            **section_context(comparison, self.contrasts, self.cochran),
            **fairness_context(comparison, self.fairness),
            **robustness_context(self.robustness, panels),
            **report_context(comparison),
        )

    def write(self, folder: Path | None = None) -> Path:
        """Write the figures, report.json, report.md and, last, report.html; return the path of report.html.

        Args:
            folder: target folder; ``None`` for the sweep folder

        """
        folder = folder or self.folder
        panels = self.panels()
        text = self.markdown(panels)
        # Rendered before anything is deleted, so that an error leaves the previous report intact.
        texts = {"report.md": text, "report.html": render_page(text, panels, title=self.title)}
        for former in (path for pattern in FIGURES for path in (folder / "figures").glob(f"{pattern}.png")):
            former.unlink()
        for name, panel in panels.items():
            figures.save(panel.figure, folder / "figures" / f"{name}.png")
        with write_atomically(folder / "report.json") as file:
            json.dump(self.json(), file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        for name, content in texts.items():
            with write_atomically(folder / name) as file:
                file.write(content)
        return folder / "report.html"

    def json(self) -> dict[str, Any]:
        """Return the content of report.json."""
        return {
            "format": FORMAT,
            "answer": self.answer,
            "cautions": self.cautions,
            **comparison_json(self.comparison, self.contrasts, self.cochran),
            "fairness": fairness_json(self.fairness),
            **robustness_json(self.robustness),
            "left_out": [item._asdict() for item in self.left_out],
            "command": self.command,
        }


def make_report(folder: str | Path, *, arm: str = DEFAULT_ARM, baseline: str | None = None) -> Report:
    """Read a sweep and compare its arms, without writing anything.

    Args:
        folder: the sweep folder
        arm: a Hydra group, or a dotted config key such as ``model.activation``
        baseline: the arm to compare with; ``None`` selects ``"none"`` if it exists, otherwise the first arm in order

    Raises:
        InputError: there is no finished run, the arm or baseline does not exist, a seed (and fold) occurs twice in one
            arm, arms share no seed, or runs differ in more than the arm (see :mod:`ser_lightning.report.arms`)

    """
    results = read_runs(folder)
    comparison = compare_arms(results.runs, results.predictions, arm=arm, baseline=baseline)
    differences = contrasts(comparison)
    robust = {arm: robustness_of_runs(Path(folder), comparison.runs_of(arm)) for arm in comparison.arms}
    command = ["ser-report", str(folder)]
    command += ["--arm", arm] if arm != DEFAULT_ARM else []
    command += ["--baseline", baseline] if baseline is not None else []
    return Report(
        folder=Path(folder),
        command=shlex.join(command),
        comparison=comparison,
        left_out=results.left_out,
        contrasts=differences,
        cochran=cochran(comparison),
        fairness={arm: fairness(comparison.clips("test", arm), comparison.emotions) for arm in comparison.arms},
        robustness={arm: table for arm, table in robust.items() if not table.empty},
        answer=answer(comparison, differences),
        cautions=cautions(comparison, differences, results.left_out),
    )
