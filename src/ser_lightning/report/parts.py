"""Accuracy on parts of the test set, and that of human listeners."""

from typing import Any

import pandas as pd

from ser_lightning.report.arms import Comparison
from ser_lightning.report.contrasts import accuracy_by

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


def is_ravdess(comparison: Comparison) -> bool:
    """Return whether every run used RAVDESS, the corpus for which human listeners' accuracy is known."""
    return all(corpus["name"] == "ravdess" for corpus in comparison.runs.corpus)


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


def merged_accuracy(comparison: Comparison) -> dict[str, float]:
    """Return arm -> test accuracy in percent with neutral and calm merged, as in the listening test."""
    if not set(MERGED) <= set(comparison.emotions):
        return {}
    clips = comparison.clips("test")
    neutral, calm = MERGED
    correct = clips.target.replace(calm, neutral) == clips.prediction.replace(calm, neutral)
    return {arm: 100 * float(correct[clips.arm == arm].mean()) for arm in comparison.arms}
