"""Support vector machine on one vector per clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from ser_lightning.baselines.clips import Vectors, vector_steps
from ser_lightning.baselines.search import GroupSearch, Labels, check_grid, class_scores


@dataclass(frozen=True, kw_only=True)
class SVM:
    """Support vector machine with a Gaussian kernel on the mean of the frames of each clip; deterministic.

    The logits are the one-vs-rest scores of scikit-learn's ``SVC`` divided by a temperature. For two classes, they are
    zero and the margin, divided by the temperature.

    Args:
        standardize: standardize the frames first
        c: error costs (scikit-learn's ``C``) to choose from
        gamma: kernel coefficients to choose from, in multiples of scikit-learn's ``scale``
        class_weight: ``balanced`` gives every class the same weight, whatever its number of clips; None weights clips
            equally
        folds: number of folds of the inner validation, over speakers

    Raises:
        ValueError: a value is out of range

    """

    standardize: bool
    c: Sequence[float]
    gamma: Sequence[float]
    class_weight: Literal["balanced"] | None
    folds: int

    def __post_init__(self) -> None:
        """Check the values."""
        check_grid(self.folds, c=self.c, gamma=self.gamma)

    def pipeline(self, *, seed: int) -> Pipeline:
        """Return the unfitted pipeline."""
        search = SVCSearch(
            representation=KernelScale(),
            classifier=unfitted_machine(class_weight=self.class_weight),
            grid={"C": list(self.c), "gamma": list(self.gamma)},
            folds=self.folds,
            calibrate=True,
        )
        return Pipeline([*vector_steps(standardize=self.standardize), ("classify", search)])


def unfitted_machine(*, class_weight: str | None) -> SVC:
    """Return an unfitted SVC with a fixed seed, so that it draws no numbers from the global random generator.

    Its solution does not depend on the seed.
    """
    return SVC(class_weight=class_weight, random_state=0)


class KernelScale(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Scale all features by one factor, so that ``gamma`` of an SVC is in multiples of scikit-learn's ``scale``."""

    def fit(self, x: Vectors, y: object = None) -> "KernelScale":
        """Compute the factor from the variance of all values of the training vectors."""
        variance = float(np.var(x))
        self.factor_ = (x.shape[1] * variance) ** -0.5 if variance > 0 else 1.0
        return self

    def transform(self, x: Vectors) -> Vectors:
        """Return the scaled vectors."""
        return x * self.factor_


class SVCSearch(GroupSearch):
    """Search over ``C`` and ``gamma`` that computes the distances between clips once per fold."""

    def _score_candidates(
        self, x: Any, y: Labels, held: Any, candidates: list[dict[str, Any]]
    ) -> npt.NDArray[np.float64]:
        train_distances, held_distances = (
            euclidean_distances(x, squared=True),
            euclidean_distances(held, x, squared=True),
        )
        scores = []
        for candidate in candidates:
            machine = clone(self.classifier).set_params(C=candidate["C"], kernel="precomputed")
            machine.fit(np.exp(-candidate["gamma"] * train_distances), y)
            scores.append(class_scores(machine, np.exp(-candidate["gamma"] * held_distances)))
        return np.stack(scores)
