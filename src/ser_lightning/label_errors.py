"""Suspected label errors: clips whose label a classifier trained on other speakers confidently contradicts.

The rule is that of confident learning. A class is confident for a clip if its probability reaches the mean probability
that clips with this label get for it; a clip is suspected if its most probable confident class is not its label.

Source: Northcutt, Jiang & Chuang 2021, Confident learning: estimating uncertainty in dataset labels, Journal of
Artificial Intelligence Research 70, 1373-1411 (arXiv 1911.00068)
"""

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.assemble import assemble_preparation
from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, printable
from ser_lightning.progress import show_progress
from ser_lightning.splits.everything import EveryKnownClip

Doubles = npt.NDArray[np.float64]
SEED = 0  # of the order of the speakers
ITERATIONS = 1000  # most steps of the regression


class Suspect(NamedTuple):
    """A clip whose label is suspected to be wrong.

    Args:
        clip: index of the clip
        suggestion: index of the class that it may be of
        label_probability: probability of its label
        suggestion_probability: probability of the suggestion

    """

    clip: int
    suggestion: int
    label_probability: float
    suggestion_probability: float

    @property
    def margin(self) -> float:
        """Difference of the two probabilities: the confidence that the label is wrong."""
        return self.suggestion_probability - self.label_probability


class LabelErrors(NamedTuple):
    """Suspected label errors of a corpus.

    Args:
        utterances: the clips
        emotions: names of the classes, in order
        suspects: the suspects, the most confident first

    """

    utterances: Sequence[Utterance]
    emotions: Sequence[str]
    suspects: list[Suspect]


def find_label_errors(config: Mapping[str, Any], *, emotions: Sequence[str], folds: int, c: float) -> LabelErrors:
    """Find the suspected label errors of a corpus.

    Args:
        config: resolved config of a run
        emotions: emotions of the corpus
        folds: number of folds of speakers
        c: inverse regularization strength of the classifier

    Raises:
        InputError: the corpus has a single speaker or emotion

    """
    utterances, vectors = clip_vectors(config, emotions=emotions)
    present = {utterance.emotion for utterance in utterances}
    emotions = [emotion for emotion in emotions if emotion in present]
    targets = np.array([emotions.index(utterance.emotion) for utterance in utterances])
    speakers = [f"{utterance.corpus}/{utterance.speaker}" if utterance.speaker else "" for utterance in utterances]
    suspected = suspects(held_out_probabilities(vectors, targets, speakers, folds=folds, c=c), targets)
    return LabelErrors(utterances, emotions, suspected)


def clip_vectors(config: Mapping[str, Any], *, emotions: Sequence[str]) -> tuple[Sequence[Utterance], Doubles]:
    """Return the clips of a corpus and the vector of each: its features, or the mean and deviation of its frames.

    Args:
        config: resolved config of a run
        emotions: emotions of the corpus

    Returns:
        the N clips, and their vectors (N, F) or (N, 2 F)

    """
    plain = {**config, "data": {**config["data"], "augment_first": False, "eval_copies": False}}
    preparation = assemble_preparation(
        plain, progress=show_progress("features"), split=EveryKnownClip(emotions=emotions)
    )
    preparation.prepare()
    rows = [preparation.rows[utterance.id, ""] for utterance in preparation.utterances]
    clips = [preparation.frames[row.offset : row.offset + row.frames].astype(np.float64) for row in rows]  # (K, F)
    if all(len(frames) == 1 for frames in clips):
        return preparation.utterances, np.concatenate(clips)
    return preparation.utterances, np.stack([np.concatenate([frames.mean(0), frames.std(0)]) for frames in clips])


def held_out_probabilities(
    vectors: Doubles, targets: npt.NDArray[np.int64], speakers: Sequence[str], *, folds: int, c: float
) -> Doubles:
    """Return the probability of each class for each clip, by logistic regression on the clips of other speakers.

    Args:
        vectors: (N, F)
        targets: (N,), index of the class of each clip; every class has a clip
        speakers: (N,), speaker of each clip; clips of unknown speakers each count as a speaker
        folds: number of folds of speakers
        c: inverse regularization strength, scikit-learn's ``C``

    Returns:
        (N, classes); 0 for a class that no other speaker has

    Raises:
        InputError: there are fewer than two folds or speakers, or a single class

    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    groups = [speaker or f"clip {number}" for number, speaker in enumerate(speakers)]
    count = min(folds, len(set(groups)))
    if count < 2 or len(np.unique(targets)) < 2:
        raise InputError(
            f"label errors are found with classifiers of other speakers; the corpus has {len(set(groups))} speakers and"
            f" {len(np.unique(targets))} emotions, and labels.folds is {folds}; expected at least two of each"
        )
    regression = LogisticRegression(C=c, class_weight="balanced", max_iter=ITERATIONS)
    classifier = make_pipeline(StandardScaler(), regression)
    splits = StratifiedGroupKFold(count, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of classes in training fold|The least populated class")
        probabilities: Doubles = cross_val_predict(
            classifier, vectors, targets, groups=groups, cv=splits, method="predict_proba"
        )
    return probabilities


def suspects(probabilities: Doubles, targets: npt.NDArray[np.int64]) -> list[Suspect]:
    """Return the clips whose labels are suspected to be wrong, the most confident first.

    Args:
        probabilities: (N, classes), held out
        targets: (N,), index of the class of each clip; every class has a clip

    >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    >>> [(each.clip, each.suggestion) for each in suspects(rows, np.array([0, 0, 1, 0]))]
    [(3, 1)]
    """
    confidence = probabilities[np.arange(len(targets)), targets]
    thresholds = np.array([confidence[targets == number].mean() for number in range(probabilities.shape[1])])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    best = confident.argmax(1)
    clips = np.flatnonzero((confident.max(1) >= 0) & (best != targets))
    suspected = [Suspect(int(n), int(best[n]), float(confidence[n]), float(probabilities[n, best[n]])) for n in clips]
    return sorted(suspected, key=lambda each: -each.margin)


def write_suspects(
    path: Path, suspects: Sequence[Suspect], *, utterances: Sequence[Utterance], emotions: Sequence[str]
) -> None:
    """Write suspects as a CSV file.

    Args:
        path: the file
        suspects: the suspects
        utterances: the clips
        emotions: names of the classes, in order

    """
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = ["label_probability", "suggestion_probability", "margin"]
        writer.writerow(["utterance", "speaker", "path", "label", "suggestion", *columns])
        for each in suspects:
            numbers = (each.label_probability, each.suggestion_probability, each.margin)
            clip = utterances[each.clip]
            names = [clip.id, clip.speaker, printable(clip.path), clip.emotion, emotions[each.suggestion]]
            writer.writerow([*names, *(f"{number:.4f}" for number in numbers)])
