"""Accuracy on parts of the test set (emotion, gender, intensity), and human listeners' accuracy on RAVDESS."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ser_lightning.metrics import recall_per_class
from ser_lightning.report.arms import Comparison
from ser_lightning.report.predictions import Clips
from ser_lightning.report.runs import Run

# Two digits each: modality, vocal channel, emotion, intensity, statement, repetition, actor (even numbers are women).
NAME = re.compile(r"\d\d-\d\d-\d\d-(?P<intensity>01|02)-\d\d-\d\d-(?P<actor>\d\d)")
GENDERS = ("male", "female")
INTENSITIES = {"01": "normal", "02": "strong"}
UNSPECIFIED = "unspecified"  # clips or corpora without intensity labels
LEVELS = ("low", "medium", "high", *INTENSITIES.values(), UNSPECIFIED)
MERGED = ("neutral", "calm")

# Percent of clips that listeners recognize from the audio alone.
LISTENERS = 62.4
LISTENERS_BY_INTENSITY = {"normal": 58.0, "strong": 67.0}
LISTENERS_SOURCE = (
    "62.4 %: per clip, 7 options (neutral and calm merged), recomputed from the published ratings by "
    "hsn07pk/ravdess-speaker-independent-ser, report/main.tex."
)
INTENSITY_SOURCE = (
    "58 % normal and 67 % strong: mean proportion correct of audio-only speech, Livingstone & Russo 2018, PLOS ONE, "
    "e0196391."
)

Shares = dict[str, list[float | None]]  # part -> percent recognized by each arm; None if the part has no clip


def of_ravdess(comparison: Comparison) -> bool:
    """Return whether every run used RAVDESS, the corpus for which human listeners' accuracy is known."""
    return all(run.corpus["name"] == "ravdess" for run in comparison.runs)


def by_emotion(comparison: Comparison) -> Shares:
    """Return the recall of each emotion on the test set, with all runs of an arm pooled."""
    columns = [
        recall_per_class(np.sum([run.confusion["test"] for run in runs], axis=0)) for runs in comparison.arms.values()
    ]
    return {
        emotion: [None if np.isnan(column[number]) else 100 * float(column[number]) for column in columns]
        for number, emotion in enumerate(comparison.runs[0].emotions)
    }


def by_gender(comparison: Comparison) -> Shares:
    """Return the accuracy on test clips of women and of men; empty if the gender is unknown."""
    return _by(comparison, "gender", GENDERS[::-1])


def by_intensity(comparison: Comparison) -> Shares:
    """Return the accuracy on test clips of each intensity; empty if no intensity is known."""
    found = _by(comparison, "intensity", LEVELS)
    return {} if set(found) <= {UNSPECIFIED} else found


def on_seven_options(comparison: Comparison) -> dict[str, float]:
    """Return arm -> test accuracy in percent with neutral and calm merged, as in the listening test.

    Empty if the emotions do not include both.
    """
    emotions = comparison.runs[0].emotions
    if not set(MERGED) <= set(emotions):
        return {}
    classes = np.arange(len(emotions))
    classes[emotions.index(MERGED[1])] = emotions.index(MERGED[0])
    found = {}
    for arm, runs in comparison.arms.items():
        clips = [run.clips["test"] for run in runs]
        correct = np.concatenate([classes[each.target] == classes[each.prediction] for each in clips])
        found[arm] = 100 * float(correct.mean())
    return found


def _by(comparison: Comparison, what: str, parts: Sequence[str]) -> Shares:
    columns = [_shares(runs, what) for runs in comparison.arms.values()]
    if not all(columns):
        return {}
    there = [part for part in parts if any(part in column for column in columns)]
    return {part: [column.get(part) for column in columns] for part in there}


def _shares(runs: Sequence[Run], what: str) -> Mapping[str, float]:
    """Return part -> test accuracy in percent; empty if any clip lacks this label."""
    labels: list[NDArray[np.str_]] = []
    for run in runs:
        own = _labels(run, run.clips["test"], what)
        if own is None:
            return {}
        labels.append(own)
    every, correct = np.concatenate(labels), np.concatenate([run.clips["test"].correct for run in runs])
    return {str(part): 100 * float(correct[every == part].mean()) for part in np.unique(every)}


def _named_as_ravdess(run: Run) -> bool:
    """Return whether clip names encode gender and intensity, for older runs that do not store them."""
    return run.corpus["name"] in ("ravdess", "synthetic")


def _labels(run: Run, clips: Clips, what: str) -> NDArray[np.str_] | None:
    told = clips.gender if what == "gender" else clips.intensity
    if told:
        return np.array(told)
    if not _named_as_ravdess(run):
        return None
    names = [NAME.fullmatch(utterance) for utterance in clips.utterance]
    if not all(names):
        return None
    if what == "gender":
        return np.array([GENDERS[int(name["actor"]) % 2 == 0] for name in names if name])
    return np.array([INTENSITIES[name["intensity"]] for name in names if name])
