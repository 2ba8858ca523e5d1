"""Gaussian mixture classifier with one mixture per emotion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from ser_lightning.baselines.clips import FrameScaler, vector_steps
from ser_lightning.baselines.search import GroupSearch, Labels, Scores, check_grid


@dataclass(frozen=True, kw_only=True)
class GMM:
    """One Gaussian mixture with diagonal covariance per class, and Bayes' rule.

    The mixtures assume that features are independent within a component, so that the probabilities are overconfident
    where they are not.

    Args:
        standardize: standardize the frames first
        of_frames: model the frames and sum their log-likelihoods over a clip; otherwise model the mean of the frames of
            each clip
        components: numbers of Gaussians per class to choose from; limited by the number of clips, or frames, of the
            class
        floor: values to choose from that are added to each variance
        class_weight: ``balanced`` gives every class the same prior; with None, the prior is its share of the training
            clips
        folds: number of folds of the inner validation, over speakers
        max_iter: maximum number of expectation-maximization steps

    Raises:
        ValueError: a value is out of range

    """

    standardize: bool
    of_frames: bool
    components: Sequence[int]
    floor: Sequence[float]
    class_weight: Literal["balanced"] | None
    folds: int
    max_iter: int

    def __post_init__(self) -> None:
        """Check the values."""
        check_grid(self.folds, components=self.components, floor=self.floor, max_iter=[self.max_iter])

    def pipeline(self, *, seed: int) -> Pipeline:
        """Return the unfitted pipeline."""
        classifier = GaussianMixtureClassifier(
            components=1, floor=1.0, class_weight=self.class_weight, max_iter=self.max_iter, random_state=seed
        )
        search = GroupSearch(
            representation=FunctionTransformer(),
            classifier=classifier,
            grid={"components": list(self.components), "floor": list(self.floor)},
            folds=self.folds,
            calibrate=False,
        )
        frames = [("standardize", FrameScaler())] if self.standardize else []
        steps = frames if self.of_frames else vector_steps(standardize=self.standardize)
        return Pipeline([*steps, ("classify", search)])


class GaussianMixtureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Bayes' rule over one ``GaussianMixture`` of scikit-learn per class.

    The input is either one vector per clip, or the clips themselves, whose frames are then modeled.

    Args:
        components: number of Gaussians per class
        floor: value added to each variance
        class_weight: ``balanced`` gives every class the same prior
        max_iter: maximum number of expectation-maximization steps
        random_state: seed of the initialization

    """

    def __init__(
        self, *, components: int, floor: float, class_weight: str | None, max_iter: int, random_state: int
    ) -> None:
        self.components = components
        self.floor = floor
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, x: npt.NDArray[Any], y: Labels) -> "GaussianMixtureClassifier":
        """Fit one mixture to the vectors, or the frames, of each class."""
        self.classes_, counts = np.unique(y, return_counts=True)
        priors = np.full(len(counts), 1 / len(counts)) if self.class_weight == "balanced" else counts / counts.sum()
        self.log_prior_ = np.log(priors)
        self.mixtures_ = [self._fit_mixture(_rows(x[y == label])[0]) for label in self.classes_]
        return self

    def _fit_mixture(self, rows: npt.NDArray[np.float64]) -> Any:
        number = min(self.components, len(rows))
        if len(rows) == 1:
            rows = rows.repeat(2, axis=0)  # GaussianMixture needs at least two rows; the variance is then the floor
        mixture = GaussianMixture(
            number,
            covariance_type="diag",
            reg_covar=self.floor,
            max_iter=self.max_iter,
            random_state=self.random_state,
        )
        return mixture.fit(rows)

    def decision_function(self, x: npt.NDArray[Any]) -> Scores:
        """Return the log-likelihood plus the log-prior of each class, (N, classes)."""
        rows, starts = _rows(x)
        likelihoods = np.stack([mixture.score_samples(rows) for mixture in self.mixtures_], axis=1)  # (rows, classes)
        scores: Scores = np.add.reduceat(likelihoods, starts, axis=0) + self.log_prior_
        return scores

    def predict(self, x: npt.NDArray[Any]) -> Labels:
        """Return the most probable class of each clip, (N,)."""
        labels: Labels = self.classes_[self.decision_function(x).argmax(axis=1)]
        return labels


def _rows(x: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the vectors, or the concatenated frames of clips, in double precision, and the first row of each clip."""
    if x.dtype != object:
        return x.astype(np.float64), np.arange(len(x))
    lengths = np.array([len(clip) for clip in x])
    return np.concatenate(x).astype(np.float64), np.cumsum(lengths) - lengths
