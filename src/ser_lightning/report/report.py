"""Compare the arms of a sweep and write report.html, report.md, report.json and the figures."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ser_lightning.atomic import write_atomically
from ser_lightning.report import groups
from ser_lightning.report.answer import answer, cautions, is_synthetic
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.content import document
from ser_lightning.report.contrasts import Contrast, Contrasts, cochran, contrasts
from ser_lightning.report.document import Document, markdown
from ser_lightning.report.figures import save
from ser_lightning.report.metrics import metrics_of, over_speakers
from ser_lightning.report.page import page
from ser_lightning.report.runs import LeftOut, read_runs
from ser_lightning.report.significance import CochranQ
from ser_lightning.report.tables import summaries

FORMAT = 2
DEFAULT_ARM = "dropout"
FIGURES = ("paired", "loss", "uar", "recall", "confusion-*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Results of a sweep.

    Args:
        folder: the sweep folder
        command: the command line that makes this report
        comparison: the arms and their runs
        left_out: the run folders that were excluded
        contrasts: arm -> metric -> contrast with the baseline, in points
        cochran: Cochran's Q test of the test clips; ``None`` with fewer than three arms or if their clips differ
        answer: the conclusion from the test accuracies, in sentences
        cautions: what a reader should know before relying on the answer

    """

    folder: Path
    command: str
    comparison: Comparison
    left_out: Sequence[LeftOut]
    contrasts: Contrasts
    cochran: CochranQ | None
    answer: str
    cautions: Sequence[str]

    def document(self) -> Document:
        """Return the content of the report, ready for rendering as HTML or Markdown."""
        return document(
            self.comparison,
            self.contrasts,
            self.cochran,
            answer=self.answer,
            cautions=self.cautions,
            left_out=self.left_out,
            command=self.command,
        )

    def write(self, folder: Path | None = None) -> Path:
        """Write the figures, report.json, report.md and, last, report.html; return the path of report.html.

        Args:
            folder: target folder; ``None`` for the sweep folder

        """
        folder = folder or self.folder
        made = self.document()
        # Rendered before anything is deleted, so that an error leaves the previous report intact.
        texts = {"report.md": markdown(made), "report.html": page(made)}
        for former in (path for pattern in FIGURES for path in (folder / "figures").glob(f"{pattern}.png")):
            former.unlink()
        for name, figure in made.panels.items():
            save(figure, folder / "figures" / f"{name}.png")
        with write_atomically(folder / "report.json") as file:
            json.dump(_plain(_as_json(self)), file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        for name, text in texts.items():
            with write_atomically(folder / name) as file:
                file.write(text)
        return folder / "report.html"


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
    runs, left_out = read_runs(folder)
    comparison = compare_arms(runs, arm=arm, baseline=baseline)
    found = contrasts(comparison)
    command = ["ser-report", str(folder)]
    command += ["--arm", arm] if arm != DEFAULT_ARM else []
    command += ["--baseline", baseline] if baseline is not None else []
    return Report(
        folder=Path(folder),
        command=shlex.join(command),
        comparison=comparison,
        left_out=left_out,
        contrasts=found,
        cochran=cochran(comparison),
        answer=answer(comparison, found),
        cautions=cautions(comparison, found, left_out),
    )


def _as_json(report: Report) -> dict[str, Any]:
    comparison = report.comparison
    metrics = metrics_of(comparison)
    return {
        "format": FORMAT,
        "answer": report.answer,
        "cautions": report.cautions,
        "synthetic": is_synthetic(comparison),
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "design": {"scientific": comparison.varied, "nuisance": comparison.nuisance, "fixed": comparison.fixed},
        "folds": comparison.folds,
        "unit": "percent",
        "arms": {
            arm: {metric.key: asdict(summary) for metric, summary in summaries(comparison, runs, metrics).items()}
            for arm, runs in comparison.arms.items()
        },
        "speakers": {
            arm: {
                metric.key: asdict(summary)
                for metric in metrics
                if (summary := over_speakers(runs, metric)) is not None
            }
            for arm, runs in comparison.arms.items()
        },
        "recognised": {
            part: dict(zip(comparison.arms, shares, strict=True))
            for of in (groups.by_emotion, groups.by_gender, groups.by_intensity)
            for part, shares in of(comparison).items()
        },
        "differences": {
            arm: {metric.key: _contrast(contrast) for metric, contrast in found.items()}
            for arm, found in report.contrasts.items()
        },
        "cochran_q": None if report.cochran is None else report.cochran._asdict(),
        "runs": [
            {"path": run.path, "run_id": run.run_id, "arm": arm, "seed": run.seed, "fold": run.fold or None}
            | {"epochs": run.epochs, "leak": run.audit.get("leak"), "seconds": run.seconds}
            | {metric.key: metric.of(run) for metric in metrics}
            for arm, runs in comparison.arms.items()
            for run in runs
        ],
        "left_out": [item._asdict() for item in report.left_out],
        "command": report.command,
    }


def _contrast(contrast: Contrast) -> dict[str, Any]:
    return asdict(contrast.difference) | {
        "bootstrap_over_pairs": contrast.pairs_bootstrap and contrast.pairs_bootstrap._asdict(),
        "bootstrap_over_speakers": contrast.speakers and contrast.speakers._asdict(),
        "cohen_d": contrast.cohen_d,
        "cliff_delta": contrast.cliff_delta,
        "p": contrast.p,
        "p_holm": contrast.p_holm,
        "mcnemar": contrast.mcnemar and contrast.mcnemar._asdict(),
        "seeds_needed": contrast.seeds_needed,
    }


def _plain(value: Any) -> Any:
    """Return the value with NaN and infinity replaced by ``None``, which JSON can represent."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
