"""Multinomial logistic regression on one vector per clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from ser_lightning.baselines.clips import vector_steps
from ser_lightning.baselines.search import GroupSearch, check_grid


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """Multinomial logistic regression with an L2 penalty, on the mean of the frames of each clip; deterministic.

    Args:
        standardize: standardize the frames first
        c: inverse regularization strengths (scikit-learn's ``C``) to choose from
        class_weight: ``balanced`` gives every class the same weight, whatever its number of clips; None weights clips
            equally
        folds: number of folds of the inner validation, over speakers
        max_iter: maximum number of L-BFGS iterations
        tol: tolerance on the gradient that stops L-BFGS

    Raises:
        ValueError: a value is out of range

    """

    standardize: bool
    c: Sequence[float]
    class_weight: Literal["balanced"] | None
    folds: int
    max_iter: int
    tol: float

    def __post_init__(self) -> None:
        """Check the values."""
        check_grid(self.folds, c=self.c, max_iter=[self.max_iter], tol=[self.tol])

    def pipeline(self, *, seed: int) -> Pipeline:
        """Return the unfitted pipeline."""
        search = GroupSearch(
            representation=FunctionTransformer(),
            classifier=LogisticRegression(class_weight=self.class_weight, max_iter=self.max_iter, tol=self.tol),
            grid={"C": list(self.c)},
            folds=self.folds,
            calibrate=False,
        )
        return Pipeline([*vector_steps(standardize=self.standardize), ("classify", search)])
