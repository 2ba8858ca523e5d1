"""Multinomial logistic regression on a chosen set of layers of a pretrained encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from ser_lightning.baselines.clips import Vectors, vector_steps
from ser_lightning.baselines.logistic import Logistic
from ser_lightning.baselines.search import GroupSearch, Labels, Scores
from ser_lightning.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LayerLogistic(Logistic):
    """Logistic regression whose input layers are chosen together with its regularization; deterministic.

    The features are those of ``features=encoder`` or ``features=huggingface``: all layers are in the feature cache, and
    the model uses the columns of a set of them.

    Args:
        standardize: standardize the frames first
        layers: sets of layers to choose from, such as ``[[1, 2], [1, 2, 3]]``; None for all layers together
        available: layers that the features consist of (``features.layers``); None if they are one block
        pooling: form of the features (``features.pooling``); ``mean_deviation`` has two columns per unit of a layer
        c: inverse regularization strengths (scikit-learn's ``C``) to choose from
        class_weight: ``balanced`` gives every class the same weight, whatever its number of clips; None weights clips
            equally
        folds: number of folds of the inner validation, over speakers
        max_iter: maximum number of L-BFGS iterations
        tol: tolerance on the gradient that stops L-BFGS

    Raises:
        ValueError: a value is out of range
        InputError: a set names a layer that the features lack

    """

    layers: Sequence[Sequence[int]] | None
    available: Sequence[int] | None
    pooling: str | None

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        sets = self._sets()
        if not sets or not all(sets):
            raise ValueError(f"model.layers is {self.layers}; expected one or more sets of layers, or null")
        for layer_set in sets:
            lacking = sorted(set(layer_set) - set(self._all()))
            if lacking or len(set(layer_set)) < len(layer_set):
                raise InputError(
                    f"model.layers has {list(layer_set)}; expected distinct layers of features.layers,"
                    f" {list(self._all())}. Give features.layers as a list that contains them."
                )

    def _all(self) -> Sequence[int]:
        return [0] if self.available is None else self.available

    def _sets(self) -> Sequence[Sequence[int]]:
        return [self._all()] if self.layers is None else self.layers

    def pipeline(self, *, seed: int) -> Pipeline:
        """Return the unfitted pipeline."""
        sets = [list(layer_set) for layer_set in self._sets()]
        classifier = LayerLogisticRegression(
            layers=sets[0],
            available=list(self._all()),
            statistics=2 if self.pooling == "mean_deviation" else 1,
            C=1.0,
            class_weight=self.class_weight,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        search = GroupSearch(
            representation=FunctionTransformer(),
            classifier=classifier,
            grid={"C": list(self.c), "layers": sets},
            folds=self.folds,
            calibrate=False,
        )
        return Pipeline([*vector_steps(standardize=self.standardize), ("classify", search)])


class LayerLogisticRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression on the columns of some layers.

    The columns are ``statistics`` groups of equal size, and each group consists of one block per available layer.

    Args:
        layers: layers to use
        available: layers that the columns consist of, in order
        statistics: number of groups
        C: inverse regularization strength
        class_weight: ``balanced`` or None
        max_iter: maximum number of L-BFGS iterations
        tol: tolerance on the gradient that stops L-BFGS

    """

    def __init__(
        self,
        *,
        layers: Sequence[int],
        available: Sequence[int],
        statistics: int,
        C: float,  # noqa: N803 - scikit-learn's name
        class_weight: str | None,
        max_iter: int,
        tol: float,
    ) -> None:
        self.layers = layers
        self.available = available
        self.statistics = statistics
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, x: Vectors, y: Labels) -> "LayerLogisticRegression":
        """Fit the regression.

        Raises:
            InputError: the columns cannot be divided into blocks of equal size

        """
        self.regression_ = LogisticRegression(
            C=self.C, class_weight=self.class_weight, max_iter=self.max_iter, tol=self.tol
        ).fit(self._columns(x), y)
        self.classes_ = self.regression_.classes_
        return self

    def decision_function(self, x: Vectors) -> Scores:
        """Return the scores of scikit-learn's ``LogisticRegression``."""
        scores: Scores = self.regression_.decision_function(self._columns(x))
        return scores

    def _columns(self, x: Vectors) -> Vectors:
        if x.shape[1] % (self.statistics * len(self.available)):
            raise InputError(
                f"The {x.shape[1]} features cannot be divided into features.layers, {list(self.available)}."
                " Use features=encoder or features=huggingface, with features.layers as a list."
            )
        parts = x.reshape(len(x), self.statistics, len(self.available), -1)  # (N, statistics, layers, width)
        chosen = [self.available.index(layer) for layer in self.layers]
        return parts[:, :, chosen].reshape(len(x), -1)
