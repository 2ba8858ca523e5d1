"""Compare the arms of a sweep and write report.html, report.md, report.json and the figures."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_lightning.atomic import write_atomically
from ser_lightning.report import figures, tables
from ser_lightning.report.answer import SYNTHETIC, answer, cautions, is_synthetic
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.contrasts import (
    Contrasts,
    accuracy_by,
    cochran,
    contrasts,
    pooled_confusion,
    values_by_pair,
)
from ser_lightning.report.render import Panel, render_markdown, render_page
from ser_lightning.report.runs import HEADLINE, MEASURES, LeftOut, read_runs
from ser_lightning.report.statistics import CochranQ

FORMAT = 2
DEFAULT_ARM = "dropout"
FIGURES = ("paired", "loss", "uar", "recall", "confusion-*")
MOST_DIFFERENCES = 6  # panels of confusion differences; further arms appear in the tables only
UNSPECIFIED = "unspecified"  # clips or corpora without intensity labels
PARTS = {"gender": ("female", "male"), "intensity": ("low", "medium", "high", "normal", "strong", UNSPECIFIED)}
MERGED = ("neutral", "calm")
# Percent of RAVDESS's clips that human listeners recognize from the audio alone.
LISTENERS: dict[str, Any] = {
    "accuracy": 62.4,
    "by_intensity": {"normal": 58.0, "strong": 67.0},
    "source": "62.4 %: per clip, 7 options (neutral and calm merged), recomputed from the published ratings by "
    "hsn07pk/ravdess-speaker-independent-ser, report/main.tex.",
    "intensity_source": "58 % normal and 67 % strong: mean proportion correct of audio-only speech, Livingstone & "
    "Russo 2018, PLOS ONE, e0196391.",
}


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

    @property
    def title(self) -> str:
        """Name of the sweep, and its arms."""
        return f"{self.comparison.runs.name.iloc[0]}: {self.comparison.arm} = {', '.join(self.comparison.arms)}"

    def panels(self) -> dict[str, Panel]:
        """Draw all figures."""
        return {"paired": paired_panel(self.comparison)} | _panels(self.comparison)

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
            **section_context(comparison, self.contrasts, self.cochran),
            **_facts(comparison),
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
            json.dump(_plain(_as_json(self)), file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        for name, content in texts.items():
            with write_atomically(folder / name) as file:
                file.write(content)
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
    results = read_runs(folder)
    comparison = compare_arms(results.runs, results.predictions, arm=arm, baseline=baseline)
    found = contrasts(comparison)
    command = ["ser-report", str(folder)]
    command += ["--arm", arm] if arm != DEFAULT_ARM else []
    command += ["--baseline", baseline] if baseline is not None else []
    return Report(
        folder=Path(folder),
        command=shlex.join(command),
        comparison=comparison,
        left_out=results.left_out,
        contrasts=found,
        cochran=cochran(comparison),
        answer=answer(comparison, found),
        cautions=cautions(comparison, found, results.left_out),
    )


def section_context(comparison: Comparison, found: Contrasts, cochran_q: CochranQ | None) -> dict[str, Any]:
    """Return the values for the templates of the sections ``arms``, ``differences`` and ``power``."""
    return {
        "comparison": comparison,
        "contrasts": found,
        "cochran": cochran_q,
        "headline": HEADLINE,
        "listeners": LISTENERS if _is_ravdess(comparison) else None,
    }


def paired_panel(comparison: Comparison) -> Panel:
    """Draw the test accuracy of every run."""
    values = {arm: values_by_pair(comparison.of(arm), HEADLINE) for arm in comparison.arms}
    listeners = LISTENERS["accuracy"] if _is_ravdess(comparison) else None
    title = MEASURES[HEADLINE]
    figure = figures.paired_panel(values, f"{title} (%)", listeners=listeners)
    return Panel(f"{title.capitalize()} of every run", figure)


def _is_ravdess(comparison: Comparison) -> bool:
    """Return whether every run used RAVDESS, the corpus for which human listeners' accuracy is known."""
    return all(corpus["name"] == "ravdess" for corpus in comparison.runs.corpus)


def _panels(comparison: Comparison) -> dict[str, Panel]:
    histories = {arm: list(comparison.of(arm).history) for arm in comparison.arms}
    panels = {
        series: Panel(
            f"{series.upper() if series == 'uar' else series.capitalize()}, training and validation",
            figures.curves_panel(histories, series, label, factor=factor),
        )
        for series, label, factor in figures.PANELS
    }
    parts = pd.concat([accuracy_of_parts(comparison, column) for column in ("target", *PARTS)])
    listeners = LISTENERS["by_intensity"] if _is_ravdess(comparison) else {}
    panels["recall"] = Panel("Accuracy by part of the test set", figures.accuracy_panel(parts, listeners))
    counts = {arm: pooled_confusion(comparison, arm) for arm in comparison.arms}
    for number, (arm, matrix) in enumerate(counts.items()):
        runs = len(comparison.of(arm))
        heading = f"{arm} ({runs} run{'s' if runs > 1 else ''})"
        panels[f"confusion-{number}"] = Panel(heading, figures.confusion_panel(matrix, comparison.emotions))
    baseline, *others = counts
    for number, arm in enumerate(others[:MOST_DIFFERENCES], 1):
        figure = figures.difference_panel(counts[arm], counts[baseline], comparison.emotions)
        panels[f"confusion-{number}-less-0"] = Panel(f"{arm} - {baseline}, points", figure)
    return panels


def accuracy_of_parts(comparison: Comparison, column: str) -> pd.DataFrame:
    """Return the test accuracy in percent on each part of the test set, in a meaningful order of the parts.

    Args:
        comparison: the arms and their runs
        column: ``target`` (every emotion), ``gender`` or ``intensity``; the last two are empty if unknown

    """
    accuracies = accuracy_by(comparison, column)
    if column == "target":
        return accuracies.reindex(comparison.emotions)
    parts = [part for part in PARTS[column] if part in accuracies.index]
    return accuracies.loc[[] if parts == [UNSPECIFIED] else parts]


def _merged_accuracy(comparison: Comparison) -> dict[str, float]:
    """Return arm -> test accuracy in percent with neutral and calm merged, as in the listening test."""
    if not set(MERGED) <= set(comparison.emotions):
        return {}
    clips = comparison.clips("test")
    neutral, calm = MERGED
    correct = clips.target.replace(calm, neutral) == clips.prediction.replace(calm, neutral)
    return {arm: 100 * float(correct[clips.arm == arm].mean()) for arm in comparison.arms}


def _facts(comparison: Comparison) -> dict[str, Any]:
    """Return the values that only the whole report shows."""
    runs = comparison.runs
    seeds = {arm: ", ".join(map(str, comparison.of(arm).seed.unique())) for arm in comparison.arms}
    equal_seeds = len(set(seeds.values())) == 1
    choices = runs.choices.iloc[0]
    return {
        "runs": runs,
        "synthetic": SYNTHETIC if is_synthetic(runs) else "",
        "seeds": f"{seeds[comparison.baseline]} in every arm"
        if equal_seeds
        else "; ".join(f"{arm} {own}" for arm, own in seeds.items()),
        "choices": [
            f"{group}={option}"
            for group, option in sorted(choices.items())
            if not group.startswith("hydra/") and all(other.get(group) == option for other in runs.choices)
        ],
        "corpora": [f"{c['name']}, {c['utterances']} utterances, digest {c['digest'][:12]}" for c in runs.corpus],
        "splits": [choices.get("split", "unnamed") for choices in runs.choices],
        "counts": {subset: [own.get(subset, 0) for own in runs.counts] for subset in runs.counts.iloc[0]},
        "fixed": pd.DataFrame(list(comparison.fixed.items()), columns=["config key", "value"]),
        "by_emotion": accuracy_of_parts(comparison, "target"),
        "by_gender": accuracy_of_parts(comparison, "gender"),
        "by_intensity": accuracy_of_parts(comparison, "intensity"),
        "merged_accuracy": _merged_accuracy(comparison),
        "audit": " / ".join(dict.fromkeys(audit["summary"] for audit in runs.audit)),
        "encoders": [_encoder(encoder) for encoder in runs.encoder if encoder],
        "normalizations": [
            f"by {found['mode']}, transductive: {found['statistics']}, unlabeled"
            for found in runs.normalization
            if found
        ],
        "commits": [git.get("commit") or "unknown" for git in runs.git],
        "dirty": any(git.get("dirty") for git in runs.git),
        "versions": {
            package: [versions.get(package, "unknown") for versions in runs.versions]
            for package in sorted({package for versions in runs.versions for package in versions})
        },
    }


def _encoder(encoder: Mapping[str, Any]) -> str:
    version = " ".join(f"{key} {str(encoder[key])[:12]}" for key in ("revision", "sha256") if key in encoder)
    return f"{encoder.get('name')} ({version}), trained on {encoder.get('trained_on')}"


def _as_json(report: Report) -> dict[str, Any]:
    comparison = report.comparison
    summaries = {over: tables.summaries_by_metric(comparison, over=over) for over in ("seeds", "speakers")}
    as_dicts = {
        over: {arm: {key: asdict(summary) for key, summary in found.items()} for arm, found in arms.items()}
        for over, arms in summaries.items()
    }
    parts = [accuracy_of_parts(comparison, column) for column in ("target", *PARTS)]
    return {
        "format": FORMAT,
        "answer": report.answer,
        "cautions": report.cautions,
        "synthetic": is_synthetic(comparison.runs),
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "design": {"scientific": comparison.varied, "nuisance": comparison.nuisance, "fixed": comparison.fixed},
        "folds": comparison.folds,
        "unit": "percent",
        "arms": as_dicts["seeds"],
        "speakers": as_dicts["speakers"],
        "recognized": {part: shares for found in parts for part, shares in found.to_dict("index").items()},
        "differences": {
            arm: {key: _contrast(contrast) for key, contrast in found.items()}
            for arm, found in report.contrasts.items()
        },
        "cochran_q": None if report.cochran is None else report.cochran._asdict(),
        "runs": [
            {"path": run["path"], "run_id": run["run_id"], "arm": run["arm"], "seed": run["seed"]}
            | {"fold": run["fold"] or None, "epochs": run["epochs"], "leak": run["audit"].get("leak")}
            | {"seconds": run["seconds"], **{key: run[key] for key in comparison.measures}}
            for run in comparison.runs.to_dict("records")
        ],
        "left_out": [item._asdict() for item in report.left_out],
        "command": report.command,
    }


def _contrast(contrast: Any) -> dict[str, Any]:
    fields = asdict(contrast)
    for name in ("bootstrap_over_pairs", "bootstrap_over_speakers", "mcnemar"):
        fields[name] = fields[name] and getattr(contrast, name)._asdict()
    return {**fields.pop("difference"), **fields}


def _plain(value: Any) -> Any:
    """Return the value with NaN and infinity replaced by ``None``, which JSON can represent."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
