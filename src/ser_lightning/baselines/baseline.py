"""Fitted pipeline with the interface of a network."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from torch import Tensor, nn

from ser_lightning.baselines.clips import split_frames
from ser_lightning.baselines.dbn_svm import DeepBeliefNetwork
from ser_lightning.baselines.gmm import GaussianMixtureClassifier
from ser_lightning.baselines.threads import limited_threads

ABSENT = -30.0  # log-probability of a class without training clips: negligible, with a finite cross-entropy
# Fitted arrays that a prediction uses, except those of the standardization.
FITTED: dict[type, tuple[str, ...]] = {
    SVC: ("support_vectors_", "dual_coef_", "intercept_"),
    LogisticRegression: ("coef_", "intercept_"),
    GaussianMixture: ("means_", "precisions_", "weights_"),
    GaussianMixtureClassifier: ("log_prior_",),
    DeepBeliefNetwork: ("weights_", "biases_"),
}


class Recipe(Protocol):
    """Description of an unfitted pipeline, constructed from a config in ``conf/model/``."""

    def pipeline(self, *, seed: int) -> Pipeline:
        """Return the unfitted pipeline.

        Args:
            seed: seed of all random numbers in the pipeline

        """


class Statistics(NamedTuple):
    """Mean and standard deviation of each feature, (F,) each."""

    mean: Tensor
    deviation: Tensor


class Baseline(nn.Module):
    """Fitted pipeline that maps padded features to log-probabilities, as a network does.

    Args:
        pipeline: fitted pipeline, whose input is an array of clips, matrices (K, F)
        classes: number of classes

    """

    def __init__(self, pipeline: Pipeline, *, classes: int) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.classes = classes

    @property
    def standardize(self) -> Statistics | None:
        """Mean and standard deviation by which the pipeline standardizes, or None if it does not."""
        step = self.pipeline.named_steps.get("standardize")
        if step is None:
            return None
        return Statistics(torch.from_numpy(step.scaler_.mean_), torch.from_numpy(step.scaler_.scale_))

    @property
    def chosen(self) -> dict[str, Any]:
        """Hyper-parameters chosen by inner validation, and their UAR there, which is None without inner validation."""
        chosen: dict[str, Any] = self.pipeline[-1].chosen_
        return chosen

    def count_parameters(self) -> int:
        """Return the number of fitted values, without those of the standardization."""
        return sum(
            int(np.size(array))
            for estimator in _estimators(self.pipeline[-1])
            for name in FITTED.get(type(estimator), ())
            for array in _as_list(getattr(estimator, name))
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probabilities of each clip.

        Args:
            features: (B, K, F), zero beyond each clip's end
            lengths: (B,), number of frames of each clip

        Returns:
            (B, classes)

        """
        frames = features.detach().cpu().numpy()  # (B, K, F)
        real = np.arange(frames.shape[1]) < lengths.cpu().numpy()[:, None]  # (B, K)
        clips = split_frames(frames[real], lengths.cpu().numpy())
        with limited_threads():
            known = self.pipeline.predict_log_proba(clips)
        logits = torch.full((len(clips), self.classes), ABSENT, dtype=torch.float32)
        logits[:, self.pipeline.classes_] = torch.from_numpy(known).float()
        return logits.to(features.device)


def fit_baseline(
    recipe: Recipe, *, frames: Tensor, lengths: Tensor, targets: Tensor, groups: Sequence[str], seed: int, classes: int
) -> Baseline:
    """Fit the pipeline of a recipe to all training clips.

    Args:
        recipe: description of the pipeline
        frames: (R, F), the clips concatenated
        lengths: (N,), number of frames of each clip
        targets: (N,), class index of each clip
        groups: (N,), group of each clip, such as its speaker; inner validation never divides a group
        seed: seed of all random numbers in the pipeline
        classes: number of classes

    Raises:
        InputError: all clips have the same class

    """
    pipeline = recipe.pipeline(seed=seed)
    clips = split_frames(frames.numpy(), lengths.numpy())
    pipeline.fit(clips, targets.numpy(), classify__groups=list(groups))
    return Baseline(pipeline, classes=classes)


def _estimators(search: Any) -> Iterator[Any]:
    """Yield the fitted estimators inside a search."""
    representation, classifier = search.representation_, search.classifier_
    yield from (step for _, step in representation.steps) if isinstance(representation, Pipeline) else [representation]
    yield classifier
    yield from getattr(classifier, "mixtures_", ())
    if hasattr(classifier, "regression_"):
        yield classifier.regression_


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
