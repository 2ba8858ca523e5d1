"""Parts of a test set: emotions, the speakers' gender, intensity; and what human listeners recognise of RAVDESS."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ser_lightning.metrics import recall_per_class
from ser_lightning.report.arms import Comparison
from ser_lightning.report.predictions import Clips
from ser_lightning.report.runs import Run

# modality, vocal channel, emotion, intensity, statement, repetition, actor (even: a woman), two digits each.
NAME = re.compile(r"\d\d-\d\d-\d\d-(?P<intensity>01|02)-\d\d-\d\d-(?P<actor>\d\d)")
GENDERS = ("male", "female")
INTENSITIES = {"01": "normal", "02": "strong"}
UNSPECIFIED = "unspecified"  # of clips, or whole corpora, that tell no intensity
LEVELS = ("low", "medium", "high", *INTENSITIES.values(), UNSPECIFIED)
MERGED = ("neutral", "calm")

# Percent of clips that listeners recognise by ear alone.
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

Shares = dict[str, list[float | None]]  # part -> percent recognised by each arm; none where there is no such clip


def of_ravdess(comparison: Comparison) -> bool:
    """Whether every run heard RAVDESS itself: only then listeners are a yardstick."""
    return all(run.corpus["name"] == "ravdess" for run in comparison.runs)


def by_emotion(comparison: Comparison) -> Shares:
    """Recall of each emotion on the test set, all runs of an arm counted together."""
    columns = [
        recall_per_class(np.sum([run.confusion["test"] for run in runs], axis=0)) for runs in comparison.arms.values()
    ]
    return {
        emotion: [None if np.isnan(column[number]) else 100 * float(column[number]) for column in columns]
        for number, emotion in enumerate(comparison.runs[0].emotions)
    }


def by_gender(comparison: Comparison) -> Shares:
    """Share of the test clips of women and of men that is recognised; empty if the corpus does not tell."""
    return _by(comparison, "gender", GENDERS[::-1])


def by_intensity(comparison: Comparison) -> Shares:
    """Share of the test clips of each intensity that is recognised; empty if the corpus does not tell."""
    found = _by(comparison, "intensity", LEVELS)
    return {} if set(found) <= {UNSPECIFIED} else found


def on_seven_options(comparison: Comparison) -> dict[str, float]:
    """Arm -> percent of test clips recognised with neutral and calm counted as one, as the listeners' figure counts."""
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
    """Part -> percent of its test clips recognised; empty if a clip does not tell its part."""
    labels: list[NDArray[np.str_]] = []
    for run in runs:
        own = _labels(run, run.clips["test"], what)
        if own is None:
            return {}
        labels.append(own)
    every, correct = np.concatenate(labels), np.concatenate([run.clips["test"].correct for run in runs])
    return {str(part): 100 * float(correct[every == part].mean()) for part in np.unique(every)}


def _named_as_ravdess(run: Run) -> bool:
    """Whether the names of the clips tell what older runs do not write down."""
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
