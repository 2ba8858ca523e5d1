"""Fitted scikit-learn pipelines as modules of torch that can be exported to ONNX, in double precision."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from torch import Tensor, nn

from ser_lightning.baselines.baseline import ABSENT, Baseline
from ser_lightning.baselines.clips import FrameMean
from ser_lightning.baselines.dbn_svm import DeepBeliefNetwork
from ser_lightning.baselines.gmm import GaussianMixtureClassifier
from ser_lightning.baselines.layer_logistic import LayerLogisticRegression
from ser_lightning.baselines.svm import KernelScale
from ser_lightning.errors import InputError
from ser_lightning.export.spectra import constant


class PipelineGraph(nn.Module):
    """A fitted pipeline on one clip, with the logits of :class:`~ser_lightning.baselines.baseline.Baseline`.

    Args:
        baseline: the fitted pipeline

    Raises:
        InputError: a step of the pipeline is unknown

    """

    mean: Tensor
    scale: Tensor
    placement: Tensor
    absent: Tensor

    def __init__(self, baseline: Baseline) -> None:
        super().__init__()
        steps = baseline.pipeline.named_steps
        statistics = baseline.standardize
        search = steps["classify"]
        self.register_buffer("mean", torch.zeros(1) if statistics is None else statistics.mean)
        self.register_buffer("scale", torch.ones(1) if statistics is None else statistics.deviation)
        self.average = isinstance(steps.get("mean"), FrameMean)
        self.represent = nn.Sequential(*_representations(search.representation_))
        self.score = _classifier(search.classifier_)
        self.temperature = float(search.temperature_)
        placement = torch.eye(baseline.classes, dtype=torch.float64)[list(search.classes_)]
        self.register_buffer("placement", placement)  # (known classes, classes)
        self.register_buffer("absent", ABSENT * (1 - placement.sum(0)))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (1, classes) of a clip (1, K, F)."""
        frames = (features[0].double() - self.mean) / self.scale
        rows = self.represent(frames.mean(0, keepdim=True) if self.average else frames)
        known: Tensor = (self.score(rows) / self.temperature).log_softmax(1)
        return (known @ self.placement + self.absent).float()


class _Scaled(nn.Module):
    """Multiply by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def _linear(weight: Any, bias: Any) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    layer.weight.data, layer.bias.data = constant(weight).double(), constant(bias).double()
    return layer


def _representations(step: Any) -> list[nn.Module]:
    if isinstance(step, FunctionTransformer):
        return []
    if isinstance(step, KernelScale):
        return [_Scaled(float(step.factor_))]
    if isinstance(step, DeepBeliefNetwork):
        layers: list[nn.Module] = []
        for weight, bias in zip(step.weights_, step.biases_, strict=True):
            layers += [_linear(weight, bias), nn.Sigmoid()]
        return layers
    if isinstance(step, Pipeline):
        return [layer for _, inner in step.steps for layer in _representations(inner)]
    raise InputError(f"the step {type(step).__name__} has no form in ONNX")


def _classifier(classifier: Any) -> nn.Module:
    if isinstance(classifier, LayerLogisticRegression):
        return _Columns(classifier)
    if isinstance(classifier, LogisticRegression):
        return _regression(classifier)
    if isinstance(classifier, SVC):
        return _Machine(classifier)
    if isinstance(classifier, GaussianMixtureClassifier):
        return _Mixtures(classifier)
    raise InputError(f"the classifier {type(classifier).__name__} has no form in ONNX")


def _regression(regression: LogisticRegression) -> nn.Linear:
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # two classes: the first has the score 0
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return _linear(weight, bias)


class _Columns(nn.Module):
    """Logistic regression on the columns of some layers."""

    columns: Tensor

    def __init__(self, classifier: LayerLogisticRegression) -> None:
        super().__init__()
        chosen = [list(classifier.available).index(layer) for layer in classifier.layers]
        per_layer = classifier.regression_.n_features_in_ // (classifier.statistics * len(chosen))
        shape = (classifier.statistics, len(classifier.available), per_layer)
        self.register_buffer("columns", constant(np.arange(math.prod(shape)).reshape(shape)[:, chosen].reshape(-1)))
        self.regression = _regression(classifier.regression_)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.regression(rows[:, self.columns])
        return scores


class _Machine(nn.Module):
    """Support vector machine with a Gaussian kernel, one against one, with scikit-learn's scores per class."""

    vectors: Tensor
    votes: Tensor

    def __init__(self, machine: SVC) -> None:
        super().__init__()
        self.gamma, self.classes = float(machine._gamma), len(machine.classes_)
        self.register_buffer("vectors", constant(machine.support_vectors_))
        ends = np.cumsum(machine.n_support_)
        owner = np.searchsorted(ends, np.arange(ends[-1]), side="right")  # class of each support vector
        pairs = list(combinations(range(self.classes), 2))
        weight = np.zeros((len(pairs), ends[-1]))
        for row, (first, second) in enumerate(pairs):
            weight[row, owner == first] = machine._dual_coef_[second - 1, owner == first]
            weight[row, owner == second] = machine._dual_coef_[first, owner == second]
        self.decide = _linear(weight, machine._intercept_)
        votes = np.zeros((len(pairs), self.classes))
        for row, (first, second) in enumerate(pairs):
            votes[row, first], votes[row, second] = 1, -1
        self.register_buffer("votes", constant(votes))

    def forward(self, rows: Tensor) -> Tensor:
        distances = (rows[:, None] - self.vectors).square().sum(2)
        decisions: Tensor = self.decide((-self.gamma * distances).exp())  # (N, pairs), positive for the first class
        if self.classes == 2:
            return torch.cat([torch.zeros_like(decisions), -decisions], dim=1)
        confidence = decisions @ self.votes
        first, second = (decisions >= 0).double(), (decisions < 0).double()
        won = first @ self.votes.clamp(min=0) - second @ self.votes.clamp(max=0)
        return won + confidence / (3 * (confidence.abs() + 1))  # Source: sklearn.utils.multiclass


class _Mixtures(nn.Module):
    """Log-likelihoods of the rows of a clip under one mixture per class, plus the prior, (N, F) -> (1, classes)."""

    prior: Tensor

    def __init__(self, classifier: GaussianMixtureClassifier) -> None:
        super().__init__()
        self.register_buffer("prior", constant(classifier.log_prior_))
        self.mixtures = nn.ModuleList(_Mixture(mixture) for mixture in classifier.mixtures_)

    def forward(self, rows: Tensor) -> Tensor:
        rows_of_class = torch.stack([mixture(rows) for mixture in self.mixtures], dim=1)  # (N, classes)
        return rows_of_class.sum(0, keepdim=True) + self.prior


class _Mixture(nn.Module):
    """Log-likelihood of rows under a Gaussian mixture with diagonal covariance, (N, F) -> (N,)."""

    means: Tensor
    roots: Tensor
    constants: Tensor

    def __init__(self, mixture: GaussianMixture) -> None:
        super().__init__()
        roots = mixture.precisions_cholesky_
        constants = np.log(mixture.weights_) + np.log(roots).sum(1) - 0.5 * roots.shape[1] * np.log(2 * np.pi)
        self.register_buffer("means", constant(mixture.means_))
        self.register_buffer("roots", constant(roots))
        self.register_buffer("constants", constant(constants))

    def forward(self, rows: Tensor) -> Tensor:
        distances = ((rows[:, None] - self.means) * self.roots).square().sum(2)  # (N, components)
        return (self.constants - 0.5 * distances).logsumexp(1)
