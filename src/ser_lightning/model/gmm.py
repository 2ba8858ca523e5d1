"""A Gaussian mixture for each emotion."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ser_lightning.model.fitting import (
    Choice,
    before_loading,
    check_clips,
    check_lists,
    choose,
    clip_means,
    clip_sums,
    frames_in_a_row,
    frozen,
    log_probabilities,
    make_room,
    scikit_learn,
)
from ser_lightning.model.layers import Standardize


class Mixtures(NamedTuple):
    """A mixture of M Gaussians with diagonal covariance for each class.

    Args:
        mean: (classes, M, F)
        precision: (classes, M, F), inverse of each variance
        log_weight: (classes, M), -inf of a Gaussian that is not there
        log_prior: (classes,), -inf of a class without a training clip

    """

    mean: Tensor
    precision: Tensor
    log_weight: Tensor
    log_prior: Tensor


class GMM(nn.Module):
    """A Gaussian mixture with diagonal covariance for each class, and Bayes' rule.

    The logits are the log-probabilities of the classes given the clip: its log-likelihood under the mixture of each,
    plus the logarithm of how frequent the class is in training, normalised. They are as overconfident as the
    assumption is wrong that the features are independent.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        of_frames: model the frames, as the classical baseline does, whose log-likelihoods are summed over a clip; else
            the mean over a clip's frames
        components: numbers of Gaussians a class to choose from; a class has no more than it has clips, or frames
        floor: what is added to each variance, to choose from
        class_weight: ``balanced``: every class is as probable as the others; else as frequent as in training
        folds: of inner validation, over speakers
        max_iter: steps of expectation maximisation at most

    Raises:
        ValueError: a number out of its range

    """

    mean: Tensor
    precision: Tensor
    log_weight: Tensor
    log_prior: Tensor

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        of_frames: bool,
        components: Sequence[int],
        floor: Sequence[float],
        class_weight: Literal["balanced"] | None,
        folds: int,
        max_iter: int,
    ) -> None:
        super().__init__()
        check_lists(folds, components=components, floor=floor, max_iter=[max_iter])
        self.of_frames, self.folds, self.max_iter = of_frames, folds, max_iter
        self.candidates = list(product(components, floor))
        self.balanced = class_weight == "balanced"
        self.standardize = Standardize(features=features) if standardize else None
        self.mean = frozen(classes, 0, features)
        self.precision = frozen(classes, 0, features)
        self.log_weight = frozen(classes, 0)
        self.log_prior = frozen(classes)
        self.choice = Choice(["components", "floor"])
        self.register_load_state_dict_pre_hook(before_loading)  # type: ignore[no-untyped-call]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probabilities of each clip.

        Args:
            features: (B, F, K), zero beyond each clip's end
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        x, number = self._units(frames_in_a_row(features, lengths), lengths)
        mixtures = Mixtures(self.mean, self.precision, self.log_weight, self.log_prior)
        return log_probabilities(_scores(mixtures, x, number))

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Make room for as many Gaussians as a state has."""
        make_room(self, state, along={"mean": 1, "precision": 1, "log_weight": 1})

    @torch.no_grad()
    def fit(self, *, frames: Tensor, lengths: Tensor, targets: Tensor, groups: Sequence[str], seed: int) -> None:
        """Choose number and floor, fit to all clips; see :class:`~ser_lightning.model.fitting.Fitted`."""
        check_clips(targets)
        x, number = self._units(frames, lengths)
        clip = torch.arange(len(number)).repeat_interleave(number)  # of each unit

        def solve(clips: Tensor, candidate: tuple[int, float]) -> Mixtures:
            return self._solve(x, clip, targets=targets, clips=clips, candidate=candidate, seed=seed)

        def score(train: Tensor, held: Tensor) -> Tensor:
            units = x[torch.isin(clip, held)]
            with scikit_learn(told=False):
                mixtures = [solve(train, candidate) for candidate in self.candidates]
            return torch.stack([_scores(mixture, units, number[held]) for mixture in mixtures])

        chosen = choose(score, targets=targets, groups=groups, folds=self.folds)
        components, floor = self.candidates[chosen.candidate]
        with scikit_learn(told=True):
            mixtures = solve(torch.arange(len(targets)), (components, floor))
        self.make_room(mixtures._asdict())
        for name, value in mixtures._asdict().items():
            getattr(self, name).copy_(value)
        self.choice.take(components=components, floor=floor, uar=chosen.uar)

    def _units(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the mixtures are of, in double precision, (U, F), and how much of it each clip has, (N,)."""
        if self.of_frames:
            return (frames if self.standardize is None else self.standardize(frames.clone())).double(), lengths
        return clip_means(frames, lengths, standardize=self.standardize).double(), torch.ones_like(lengths)

    def _solve(
        self, x: Tensor, clip: Tensor, *, targets: Tensor, clips: Tensor, candidate: tuple[int, float], seed: int
    ) -> Mixtures:
        """Return the mixtures that scikit-learn's expectation maximisation finds in the units of some clips."""
        from sklearn.mixture import GaussianMixture

        components, floor = candidate
        classes, features = len(self.log_prior), x.size(1)
        counts = targets[clips].bincount(minlength=classes).double()
        found = Mixtures(
            mean=torch.zeros(classes, components, features, dtype=torch.float64),
            precision=torch.ones(classes, components, features, dtype=torch.float64),
            log_weight=torch.full((classes, components), -torch.inf, dtype=torch.float64),
            log_prior=(counts.clamp(max=1) if self.balanced else counts).div(counts.sum()).log(),
        )
        for target in counts.nonzero()[:, 0].tolist():
            units = x[torch.isin(clip, clips[targets[clips] == target])]
            number = min(components, len(units))
            if len(units) == 1:
                units = units.repeat(2, 1)  # it takes no fewer; their variance is the floor
            mixture: Any = GaussianMixture(
                number, covariance_type="diag", reg_covar=floor, max_iter=self.max_iter, random_state=seed
            ).fit(units.numpy())
            found.mean[target, :number] = torch.from_numpy(mixture.means_)
            found.precision[target, :number] = torch.from_numpy(mixture.precisions_)
            found.log_weight[target, :number] = torch.from_numpy(mixture.weights_).log()
        return found


def _scores(of: Mixtures, x: Tensor, number: Tensor) -> Tensor:
    """Return log-likelihood plus log-prior of each clip: units (U, F), of which each clip has a number (N,)."""
    classes, components, features = of.mean.shape
    mean, precision = (tensor.reshape(-1, features) for tensor in (of.mean, of.precision))  # (classes M, F)
    weighted = mean * precision
    square = x.square() @ precision.T - 2 * x @ weighted.T + (mean * weighted).sum(1)  # (U, classes M)
    density = -0.5 * (square - precision.log().sum(1) + features * math.log(2 * math.pi))
    likelihood = (density.view(-1, classes, components) + of.log_weight).logsumexp(2)  # (U, classes)
    return clip_sums(likelihood, number) + of.log_prior
