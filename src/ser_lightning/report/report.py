"""report.md, report.json and the figures of a sweep."""

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_lightning.atomic import write_atomically
from ser_lightning.report import figures
from ser_lightning.report.answer import SYNTHETIC, answer, cautions, is_synthetic
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.runs import LeftOut, Run, read_runs
from ser_lightning.report.statistics import PairedDifference
from ser_lightning.report.tables import (
    HEADLINE,
    IN_EVALUATION_MODE,
    STUDY,
    TRAINING_MODE,
    Metric,
    arms_table,
    by_seed,
    differences,
    differences_table,
    left_out_table,
    metrics_of,
    recall_table,
    runs_table,
    summaries,
)

FORMAT = 1
DEFAULT_ARM = "dropout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a sweep found.

    Args:
        folder: the sweep folder
        command: the command line that makes this report
        comparison: the arms and their runs
        left_out: the runs that are not part of it
        differences: arm -> metric -> paired difference from the baseline, in points
        answer: what the test accuracies allow to be said
        cautions: what to bear in mind with it

    """

    folder: Path
    command: str
    comparison: Comparison
    left_out: Sequence[LeftOut]
    differences: Mapping[str, Mapping[Metric, PairedDifference]]
    answer: str
    cautions: Sequence[str]

    def write(self) -> Path:
        """Write the figures, report.json and, last, report.md into the sweep folder; return report.md."""
        shown = _write_figures(self.comparison, self.folder / "figures")
        with write_atomically(self.folder / "report.json") as file:
            json.dump(_finite(_as_json(self)), file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        path = self.folder / "report.md"
        with write_atomically(path) as file:
            file.write(_as_markdown(self, shown))
        return path


def make_report(folder: str | Path, *, arm: str = DEFAULT_ARM, baseline: str | None = None) -> Report:
    """Read a sweep and compare its arms; nothing is written.

    Args:
        folder: the sweep folder
        arm: a Hydra group, or a dotted config key such as ``model.activation``
        baseline: the arm to compare with; ``None`` for ``"none"`` if there is one, or else the first in order

    Raises:
        InputError: no finished run, no such arm or baseline, a seed twice in an arm, or runs that differ in
            more than the arm (see :mod:`ser_lightning.report.arms`)

    """
    runs, left_out = read_runs(folder)
    comparison = compare_arms(runs, arm=arm, baseline=baseline)
    found = differences(comparison)
    headline = {value: metrics[HEADLINE] for value, metrics in found.items()}
    command = ["ser-report", str(folder)]
    command += [f"arm={arm}"] if arm != DEFAULT_ARM else []
    command += [f"baseline={baseline}"] if baseline is not None else []
    return Report(
        folder=Path(folder),
        command=shlex.join(command),
        comparison=comparison,
        left_out=left_out,
        differences=found,
        answer=answer(comparison, headline),
        cautions=cautions(comparison, headline, left_out),
    )


def write_report(folder: str | Path, *, arm: str = DEFAULT_ARM, baseline: str | None = None) -> Path:
    """Write ``report.md``, ``report.json`` and ``figures/*.png`` into a sweep folder.

    Args:
        folder: the sweep folder
        arm: as in :func:`make_report`
        baseline: as in :func:`make_report`

    Returns:
        the path of report.md

    Raises:
        InputError: as in :func:`make_report`

    """
    return make_report(folder, arm=arm, baseline=baseline).write()


def _write_figures(comparison: Comparison, folder: Path) -> list[tuple[str, str]]:
    """Write the figures; return file name and description of each."""
    arms = comparison.arms
    confusion = {
        f"{arm} ({len(runs)} run{'s' * (len(runs) > 1)})": np.sum([run.confusion["test"] for run in runs], axis=0)
        for arm, runs in arms.items()
    }
    accuracies = {arm: by_seed(runs, HEADLINE) for arm, runs in arms.items()}
    histories = {arm: [run.history for run in runs] for arm, runs in arms.items()}
    emotions = comparison.runs[0].emotions
    made = {
        "curves.png": (
            "Loss and UAR by epoch: mean over the runs of an arm, band from the lowest to the highest run.",
            figures.arms_curves_figure(histories, f"Training by {comparison.arm}"),
        ),
        "confusion.png": (
            "Test confusion matrices, all runs of an arm counted together.",
            figures.arms_confusion_figure(confusion, emotions, "Test confusion matrices"),
        ),
    }
    (folder / "paired.png").unlink(missing_ok=True)  # a former report may have had more arms
    if len(arms) > 1:
        made["paired.png"] = (
            "Test accuracy of every run; lines join the arms at one seed.",
            figures.paired_figure(accuracies, "test accuracy (%)", f"Test accuracy by {comparison.arm}"),
        )
    for name, (_, figure) in made.items():
        figures.save(figure, folder / name)
    return [(name, description) for name, (description, _) in made.items()]


def _as_markdown(report: Report, shown: Sequence[tuple[str, str]]) -> str:
    comparison = report.comparison
    images = {name: f"![{text}](figures/{name})\n\n{text}" for name, text in shown}
    synthetic = is_synthetic(comparison)
    parts = [
        f"# {comparison.runs[0].name}: {comparison.arm} = {', '.join(comparison.arms)}",
        f"**{SYNTHETIC}**" if synthetic else "",
        report.answer,
        "\n".join(f"- {note}" for note in report.cautions),
        "## Arms",
        "Percent; mean ± sample standard deviation over the runs.",
        arms_table(comparison).markdown(),
        " ".join(_about_study(metrics_of(comparison))),
        "## Differences",
        f"Points of percent, paired by seed; Student-t intervals. Baseline: {comparison.baseline}."
        if report.differences
        else "One arm only: no difference.",
        differences_table(report.differences, comparison.baseline).markdown() if report.differences else "",
        images.get("paired.png", ""),
        "## Design",
        "\n".join(f"- {line}" for line in _design(comparison)),
        "## Training",
        images["curves.png"],
        "## Emotions",
        "Recall on the test set in percent, all runs of an arm counted together.",
        recall_table(comparison).markdown(),
        images["confusion.png"],
        "## Runs",
        "Percent; the interval is Wilson's, for the share of correct utterances of that one run.",
        runs_table(comparison).markdown(),
        "## Left out",
        left_out_table(report.left_out).markdown() if report.left_out else "Nothing.",
        "## Origin",
        "\n".join(f"- {line}" for line in _origin(comparison.runs)),
        f"Made by:\n\n```\n{report.command}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about_study(metrics: Sequence[Metric]) -> Iterable[str]:
    if IN_EVALUATION_MODE in metrics:
        yield (
            "The test metrics are measured as the study measured: in training mode, or with BatchNorm's running "
            "statistics moved by the measured utterances; the same weights in evaluation mode have a column of their "
            "own."
        )
    if STUDY in metrics:
        yield (
            "The study's test metric is the study's own arithmetic, correct predictions divided by the number of "
            "batches of 100, given for comparison with its table; it is not an accuracy."
        )
        if TRAINING_MODE in metrics:
            yield "It counts predictions in training mode; the last column counts the same predictions by utterance."
        else:
            yield "It counts the same predictions as the test accuracy."


def _design(comparison: Comparison) -> Iterable[str]:
    runs = comparison.runs
    yield f"varied: {comparison.arm} ({', '.join(comparison.arms)})"
    for key, values in comparison.varied.items():
        yield f"`{key}`: " + ", ".join(f"{arm} = {value}" for arm, value in values.items())
    fixed = [
        f"{group}={option}"
        for group, option in sorted(runs[0].choices.items())
        if not group.startswith("hydra/") and all(run.choices.get(group) == option for run in runs)
    ]
    yield f"fixed: {', '.join(fixed) or 'no group'}, and every other config key"
    yield "corpus: " + _values(
        f"{run.corpus['name']}, {run.corpus['utterances']} utterances, digest {run.corpus['digest'][:12]}"
        for run in runs
    )
    yield "split: " + _values(run.choices.get("split", "unnamed") for run in runs)
    for subset in dict.fromkeys(subset for run in runs for subset in run.counts):
        yield f"{subset.replace('_', ' ')}: {_values(run.counts.get(subset, 0) for run in runs)} utterances"
    yield f"epochs: {_values(run.epochs for run in runs)}"
    yield f"checkpoint tested: {_values(run.checkpoint for run in runs)}"
    for arm, members in comparison.arms.items():
        yield f"seeds of {arm}: {', '.join(str(run.seed) for run in members)}"


def _origin(runs: Sequence[Run]) -> Iterable[str]:
    dirty = " with uncommitted changes" if any(run.git.get("dirty") for run in runs) else ""
    yield f"commit: {_values(run.git.get('commit') or 'unknown' for run in runs)}{dirty}"
    for package in sorted({package for run in runs for package in run.versions}):
        yield f"{package}: {_values(run.versions.get(package, 'unknown') for run in runs)}"


def _values(values: Iterable[Any]) -> str:
    return " / ".join(dict.fromkeys(map(str, values)))


def _as_json(report: Report) -> dict[str, Any]:
    comparison = report.comparison
    metrics = metrics_of(comparison)
    return {
        "format": FORMAT,
        "answer": report.answer,
        "cautions": list(report.cautions),
        "synthetic": is_synthetic(comparison),
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "varied": comparison.varied,
        "unit": "percent",
        "arms": {
            arm: {_key(metric): asdict(summary) for metric, summary in summaries(runs, metrics).items()}
            for arm, runs in comparison.arms.items()
        },
        "differences": {
            arm: {_key(metric): asdict(difference) for metric, difference in found.items()}
            for arm, found in report.differences.items()
        },
        "runs": [
            {"path": run.path, "run_id": run.run_id, "arm": arm, "seed": run.seed, "epochs": run.epochs}
            | {_key(metric): metric.of(run) for metric in metrics}
            for arm, runs in comparison.arms.items()
            for run in runs
        ],
        "left_out": [item._asdict() for item in report.left_out],
        "command": report.command,
    }


def _key(metric: Metric) -> str:
    return f"{metric.subset}/{metric.name}"


def _finite(value: Any) -> Any:
    """The value with null for what JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
