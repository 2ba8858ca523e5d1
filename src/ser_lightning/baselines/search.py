"""Hyper-parameter search with inner validation on held-out speakers of the training set."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, ParameterGrid

from ser_lightning import metrics
from ser_lightning.baselines.threads import limited_threads
from ser_lightning.calibration.temperature import fit_temperature
from ser_lightning.errors import InputError

log = logging.getLogger(__name__)

Scores = npt.NDArray[np.float64]  # (N, classes)
Labels = npt.NDArray[np.int64]  # (N,)


class GroupSearch(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifier whose hyper-parameters are chosen by cross-validation over groups of the training set.

    It works like scikit-learn's ``GridSearchCV`` with ``GroupKFold``, with three differences. The score is the UAR over
    the held-out clips of all folds together, because a fold may lack an emotion. The representation is fitted once per
    fold and not once per candidate. The held-out scores of the best candidate are used to fit a temperature, by which
    the scores are divided to give logits (Guo et al. 2017); this does not change the predictions. Finally, the best
    candidate is fitted to all clips.

    A fold whose training part has a single class is skipped. If no fold remains, the first candidate is used and a
    warning is logged.

    Args:
        representation: transformer fitted before the classifier, without hyper-parameters to search
        classifier: classifier with a ``decision_function``
        grid: candidate values of each parameter of the classifier
        folds: number of folds; reduced to the number of groups if there are fewer groups
        calibrate: fit the temperature; otherwise it is 1

    """

    def __init__(
        self, *, representation: Any, classifier: Any, grid: Mapping[str, Sequence[Any]], folds: int, calibrate: bool
    ) -> None:
        self.representation = representation
        self.classifier = classifier
        self.grid = grid
        self.folds = folds
        self.calibrate = calibrate

    def fit(self, x: Any, y: Labels, *, groups: Sequence[str]) -> "GroupSearch":
        """Choose the hyper-parameters and fit the classifier to all clips.

        Args:
            x: (N, ...), the clips
            y: (N,), class index of each clip
            groups: (N,), group of each clip, such as its speaker; a group is never divided between training and
                held-out clips

        Raises:
            InputError: all clips have the same class

        """
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise InputError(
                "The training clips all have the same emotion. Expected at least two emotions. Choose another split."
            )
        candidates = list(ParameterGrid(self.grid))
        held_out, target = self._cross_validate(x, y, groups, candidates)  # (candidates, M, classes), (M,)
        best, uar = 0, None
        if len(target):
            uars = [pooled_uar(target, scores) for scores in held_out]
            best = int(np.argmax(uars))
            uar = uars[best]
        else:
            log.warning(
                "The training clips cannot be divided for inner validation: the first value of each list is used."
            )
        self.chosen_ = {**{name.lower(): value for name, value in candidates[best].items()}, "uar": uar}
        self.temperature_ = fit_temperature(held_out[best], target) if self.calibrate and len(target) else 1.0
        with fitting(log_convergence=True):
            self.representation_ = clone(self.representation).fit(x, y)
            self.classifier_ = clone(self.classifier).set_params(**candidates[best])
            self.classifier_.fit(self.representation_.transform(x), y)
        return self

    def _cross_validate(
        self, x: Any, y: Labels, groups: Sequence[str], candidates: list[dict[str, Any]]
    ) -> tuple[npt.NDArray[np.float64], Labels]:
        """Return the scores of the held-out clips for each candidate, and their classes as indices of ``classes_``.

        The scores have shape (candidates, M, classes), the classes (M,). A class that is missing from the training part
        of a fold has the score -inf.
        """
        parts, targets = [np.empty((len(candidates), 0, len(self.classes_)))], [np.empty(0, dtype=np.int64)]
        number = min(self.folds, len(set(groups)))
        for train, held in GroupKFold(number).split(y, groups=groups) if number > 1 else ():
            known = np.unique(y[train])
            if len(known) < 2:
                continue
            with fitting(log_convergence=False):
                representation = clone(self.representation).fit(x[train], y[train])
                scores = self._score_candidates(
                    representation.transform(x[train]), y[train], representation.transform(x[held]), candidates
                )
            part = np.full((len(candidates), len(held), len(self.classes_)), -np.inf)
            part[:, :, np.searchsorted(self.classes_, known)] = scores
            parts.append(part)
            targets.append(np.searchsorted(self.classes_, y[held]))
        return np.concatenate(parts, axis=1), np.concatenate(targets)

    def _score_candidates(
        self, x: Any, y: Labels, held: Any, candidates: list[dict[str, Any]]
    ) -> npt.NDArray[np.float64]:
        """Fit each candidate and return its scores of the held-out clips, (candidates, M, classes of y)."""
        return np.stack(
            [class_scores(clone(self.classifier).set_params(**candidate).fit(x, y), held) for candidate in candidates]
        )

    def decision_function(self, x: Any) -> Scores:
        """Return the logits of the classes in ``classes_``, (N, classes)."""
        return class_scores(self.classifier_, self.representation_.transform(x)) / self.temperature_

    def predict_log_proba(self, x: Any) -> Scores:
        """Return log-probabilities, (N, classes)."""
        probabilities: Scores = log_softmax(self.decision_function(x), axis=1)
        return probabilities

    def predict(self, x: Any) -> Labels:
        """Return the most probable class of each clip, (N,)."""
        labels: Labels = self.classes_[self.decision_function(x).argmax(axis=1)]
        return labels


def class_scores(classifier: Any, x: Any) -> Scores:
    """Return one score per class, (N, classes), also for two classes."""
    scores: Scores = classifier.decision_function(x)
    return scores if scores.ndim == 2 else np.stack([np.zeros_like(scores), scores], axis=1)


def pooled_uar(target: Labels, scores: Scores) -> float:
    """Return the UAR of the classes with the highest scores (M, classes)."""
    return metrics.uar(metrics.confusion_matrix(target, scores.argmax(axis=1), scores.shape[1]))


@contextmanager
def fitting(*, log_convergence: bool) -> Iterator[None]:
    """Run scikit-learn with as many threads as torch uses, and handle warnings about convergence.

    Args:
        log_convergence: log a warning if a solver did not converge; otherwise such warnings are ignored

    """
    with limited_threads(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif log_convergence:
            log.warning("Not converged: %s", str(warning.message).splitlines()[0])


def check_grid(folds: int, **values: Sequence[float]) -> None:
    """Check the number of folds and the candidate values.

    Raises:
        ValueError: fewer than two folds, an empty list, or a value that is not finite and above 0

    """
    if folds < 2:
        raise ValueError(f"model.folds is {folds}; expected at least 2")
    for name, candidates in values.items():
        if not candidates or min(candidates) <= 0 or not np.isfinite(candidates).all():
            raise ValueError(f"model.{name} is {list(candidates)}; expected finite numbers above 0 to choose from")
