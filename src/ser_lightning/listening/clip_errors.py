"""The errors of an arm by clip: the wrong answer, how certain the networks were of it, and how many gave it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser_lightning.report.arms import Comparison
from ser_lightning.report.predictions import load_predictions

PER_CONFUSION = 4  # clips of the most frequent confusion before the next one has its turn
Pair = tuple[str, str]  # true and predicted emotion


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipError:
    """A test clip that at least one run of an arm classified wrongly.

    Args:
        id: the utterance
        speaker: its speaker
        target: the true emotion
        predicted: the most frequent wrong answer
        confidence: mean probability of this answer over the runs that tested the clip; without probabilities, the share
            of these runs that gave it
        wrong: number of runs that gave this answer
        runs: number of runs that tested the clip

    """

    id: str
    speaker: str
    target: str
    predicted: str
    confidence: float
    wrong: int
    runs: int

    @property
    def pair(self) -> Pair:
        """The true and the predicted emotion."""
        return self.target, self.predicted


def read_clips(comparison: Comparison, arm: str, folder: Path) -> pd.DataFrame:
    """Return the predictions of the original test clips by all runs of an arm, with the probabilities that they have.

    Args:
        comparison: the arms and their runs
        arm: the arm
        folder: the sweep folder

    """
    clips = pd.concat([load_predictions(folder / path) for path in comparison.runs_of(arm).index], ignore_index=True)
    return clips[(clips.subset == "test") & (clips["copy"] == "")]


def clip_errors(clips: pd.DataFrame) -> list[ClipError]:
    """Return the errors of an arm, the most confident first.

    Args:
        clips: result of :func:`read_clips`

    """
    errors = []
    for name, runs in clips.groupby("utterance"):
        wrong = Counter(runs.prediction[runs.prediction != runs.target])
        if not wrong:
            continue
        most = max(wrong.values())
        shares = {answer: _confidence(runs, answer) for answer, count in wrong.items() if count == most}
        answer = max(sorted(shares), key=shares.__getitem__)
        errors.append(
            ClipError(
                id=str(name),
                speaker=runs.speaker.iloc[0],
                target=runs.target.iloc[0],
                predicted=answer,
                confidence=shares[answer],
                wrong=most,
                runs=len(runs),
            )
        )
    return sorted(errors, key=lambda error: (-error.confidence, error.id))


def has_probabilities(clips: pd.DataFrame) -> bool:
    """Return whether every run stored the probability of every emotion that occurs."""
    emotions = set(clips.target) | set(clips.prediction)
    return emotions <= set(clips.columns) and not clips[sorted(emotions)].isna().any(axis=None)


def _confidence(runs: pd.DataFrame, answer: str) -> float:
    if answer in runs and runs[answer].notna().all():
        return float(runs[answer].astype(float).mean())
    return float((runs.prediction == answer).mean())


def confusions(clips: pd.DataFrame) -> dict[Pair, int]:
    """Return (true, predicted) -> number of errors of all runs, the most frequent first."""
    wrong = clips[clips.prediction != clips.target]
    return dict(Counter(zip(wrong.target, wrong.prediction, strict=True)).most_common())


def choose_clips(errors: Sequence[ClipError], counts: Mapping[Pair, int], *, most: int) -> dict[Pair, list[ClipError]]:
    """Choose clips for the page: half are the most confident errors, half the most confident of frequent confusions.

    Args:
        errors: the errors, the most confident first
        counts: (true, predicted) -> number of errors, the most frequent first
        most: number of clips to choose

    Returns:
        (true, predicted) -> chosen clips, in the order of ``counts``, each by confidence

    """
    order = {pair: place for place, pair in enumerate(counts)}
    rank: dict[ClipError, tuple[int, int]] = {}
    seen: Counter[Pair] = Counter()
    for error in errors:
        rank[error] = (seen[error.pair] // PER_CONFUSION, order[error.pair])
        seen[error.pair] += 1
    confident = list(errors[: (most + 1) // 2])
    others = sorted(errors[len(confident) :], key=rank.__getitem__)
    selected = set(confident + others[: most - len(confident)])
    chosen: dict[Pair, list[ClipError]] = {pair: [] for pair in counts}
    for error in errors:
        if error in selected:
            chosen[error.pair].append(error)
    return {pair: clips for pair, clips in chosen.items() if clips}
