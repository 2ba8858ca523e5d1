"""Multinomial logistic regression on one vector a clip."""

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
    """Multinomial logistic regression with an L2 penalty on the mean over a clip's frames; not random.

    Args:
        standardize: standardize the frames first
        c: inverses of the penalty's weight (scikit-learn's ``C``) to choose from
        class_weight: ``balanced`` weights every class alike, whatever its number of clips
        folds: of inner validation, over speakers
        max_iter: most steps of L-BFGS
        tol: largest gradient at which it stops

    Raises:
        ValueError: a number out of its range

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
        """Return the pipeline, not fitted."""
        search = GroupSearch(
            representation=FunctionTransformer(),
            classifier=LogisticRegression(class_weight=self.class_weight, max_iter=self.max_iter, tol=self.tol),
            grid={"C": list(self.c)},
            folds=self.folds,
            calibrate=False,
        )
        return Pipeline([*vector_steps(standardize=self.standardize), ("classify", search)])
