"""Multinomial logistic regression on one vector a clip."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ser_lightning.model.fitting import (
    Choice,
    check_clips,
    check_lists,
    choose,
    clip_means,
    frames_in_a_row,
    frozen,
    log_probabilities,
    scikit_learn,
)
from ser_lightning.model.layers import Standardize


class Logistic(nn.Module):
    """Multinomial logistic regression with an L2 penalty, on the mean over a clip's frames.

    The softmax of its logits is the ``predict_proba`` of scikit-learn's LogisticRegression. Nothing in it is random:
    every seed gives the same model.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        c: inverses of the penalty's weight (scikit-learn's C) to choose from
        class_weight: ``balanced``: every class counts alike, however many clips it has; else every clip
        folds: of inner validation, over speakers
        max_iter: steps of L-BFGS at most
        tol: largest gradient at which it stops

    Raises:
        ValueError: a number out of its range

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        c: Sequence[float],
        class_weight: Literal["balanced"] | None,
        folds: int,
        max_iter: int,
        tol: float,
    ) -> None:
        super().__init__()
        check_lists(folds, c=c, max_iter=[max_iter], tol=[tol])
        self.c, self.folds = list(c), folds
        self.values = {"class_weight": class_weight, "max_iter": max_iter, "tol": tol}
        self.standardize = Standardize(features=features) if standardize else None
        self.weight = frozen(classes, features)
        self.bias = frozen(classes)  # -inf of a class without a training clip
        self.choice = Choice(["c"])

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probabilities of each clip.

        Args:
            features: (B, F, K), zero beyond each clip's end
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        x = clip_means(frames_in_a_row(features, lengths), lengths, standardize=self.standardize)
        return log_probabilities(nn.functional.linear(x.double(), self.weight, self.bias))

    @torch.no_grad()
    def fit(self, *, frames: Tensor, lengths: Tensor, targets: Tensor, groups: Sequence[str], seed: int) -> None:
        """Choose C by inner validation and fit to all clips; see :class:`~ser_lightning.model.fitting.Fitted`."""
        check_clips(targets)
        x = clip_means(frames, lengths, standardize=self.standardize).double()

        def score(train: Tensor, held: Tensor) -> Tensor:
            with scikit_learn(told=False):
                layers = [self._solve(x[train], targets[train], c) for c in self.c]
            return torch.stack([nn.functional.linear(x[held], *layer) for layer in layers])

        chosen = choose(score, targets=targets, groups=groups, folds=self.folds)
        c = self.c[chosen.candidate]
        with scikit_learn(told=True):
            weight, bias = self._solve(x, targets, c)
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        self.choice.take(c=c, uar=chosen.uar)

    def _solve(self, x: Tensor, targets: Tensor, c: float) -> tuple[Tensor, Tensor]:
        """Return weight (classes, F) and bias (classes,) of scikit-learn's solution."""
        from sklearn.linear_model import LogisticRegression

        found: Any = LogisticRegression(C=c, **self.values).fit(x.numpy(), targets.numpy())
        present = torch.from_numpy(found.classes_)
        coefficients, intercepts = torch.from_numpy(found.coef_), torch.from_numpy(found.intercept_)
        if len(present) == 2:  # one row then, for the second class, against nothing for the first
            coefficients = torch.cat([torch.zeros_like(coefficients), coefficients])
            intercepts = torch.cat([torch.zeros_like(intercepts), intercepts])
        weight, bias = torch.zeros_like(self.weight), torch.full_like(self.bias, -torch.inf)
        weight[present], bias[present] = coefficients, intercepts
        return weight, bias
