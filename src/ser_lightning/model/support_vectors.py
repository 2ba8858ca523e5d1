"""Support vector machine with a Gaussian kernel, one against one."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ser_lightning.model.fitting import (
    Choice,
    Chosen,
    before_loading,
    check_lists,
    choose,
    frozen,
    log_probabilities,
    make_room,
    scikit_learn,
)

TEMPERATURES = (0.01, 100.0)  # within which one is looked for


class Machine(NamedTuple):
    """A solution, in libsvm's form, over all classes.

    Args:
        support: (S,), which clips are support vectors
        owner: (S,), class index of each
        dual: (classes - 1, S), weight of each against every other class, in their order
        intercept: (pairs,), of each pair of classes, in the order (0, 1), (0, 2), ...
        present: (classes,), whether the class had a clip

    """

    support: Tensor
    owner: Tensor
    dual: Tensor
    intercept: Tensor
    present: Tensor


class SupportVectorMachine(nn.Module):
    """A machine for each pair of classes, that vote.

    The scores are those of scikit-learn's ``SVC.decision_function`` in its one-vs-rest form: votes, and a third of a
    vote at most for how clear they were. Their order is that of ``SVC(break_ties=True).predict``. Divided by a
    temperature they are logits; it makes the held out clips of inner validation most likely (Guo et al. 2017,
    temperature scaling) and changes no prediction.

    The support vectors are kept, so how large the module is depends on what it is fitted to.

    Args:
        features: size of a vector
        classes: logits of the output
        c: costs of an error (scikit-learn's C) to choose from
        gamma: to choose from, for a kernel exp(-gamma |x - y|^2 / (features variance)) with the variance of all numbers
            of the training vectors: at 1, scikit-learn's ``scale``
        class_weight: ``balanced``: every class counts alike, however many clips it has; else every clip
        folds: of inner validation

    Raises:
        ValueError: a number out of its range

    """

    owner: Tensor
    present: Tensor
    width: Tensor
    temperature: Tensor

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        c: Sequence[float],
        gamma: Sequence[float],
        class_weight: Literal["balanced"] | None,
        folds: int,
    ) -> None:
        super().__init__()
        check_lists(folds, c=c, gamma=gamma)
        self.candidates = list(product(c, gamma))
        self.class_weight, self.folds = class_weight, folds
        pairs = classes * (classes - 1) // 2
        self.support = frozen(0, features, dtype=torch.float32)  # which are features, and those are single precision
        self.dual = frozen(classes - 1, 0)
        self.intercept = frozen(pairs)
        self.register_buffer("owner", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("present", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("width", torch.zeros((), dtype=torch.float64))
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))
        self.choice = Choice(["c", "gamma"])
        self.register_load_state_dict_pre_hook(before_loading)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-probabilities of vectors: (B, features) -> (B, classes)."""
        kernel = torch.exp(-self.width * square_distances(x, self.support))  # (B, S)
        return log_probabilities(self._scores(kernel, self) / self.temperature)

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Make room for as many support vectors as a state has."""
        make_room(self, state, along={"support": 0, "dual": 1, "owner": 0})

    def fit(self, represent: Callable[[Tensor], Tensor], *, targets: Tensor, groups: Sequence[str]) -> None:
        """Choose C and gamma by inner validation and fit to all clips.

        Args:
            represent: from the clips it may learn from, their indices, the vectors of all, (N, features)
            targets: (N,), class index of each clip
            groups: (N,), what inner validation keeps together

        """

        def score(train: Tensor, held: Tensor) -> Tensor:
            x = represent(train)
            square, scale = square_distances(x, x[train]), _scale(x[train])  # (N, training clips)
            scores = []
            for c, gamma in self.candidates:
                kernel = torch.exp(-gamma * scale * square)
                machine = self._solve(kernel[train], targets[train], C=c, kernel="precomputed")
                scores.append(self._scores(kernel[held][:, machine.support], machine))
            return torch.stack(scores)

        with scikit_learn(told=False):
            chosen = choose(score, targets=targets, groups=groups, folds=self.folds)
            c, gamma = self.candidates[chosen.candidate]
            x = represent(torch.arange(len(targets)))
            self.width.fill_(gamma * _scale(x))
            machine = self._solve(x.double(), targets, C=c, kernel="rbf", gamma=self.width.item())
        self.make_room({"support": x[machine.support], "dual": machine.dual, "owner": machine.owner})
        self.support.copy_(x[machine.support])
        for name in ("owner", "dual", "intercept", "present"):
            getattr(self, name).copy_(getattr(machine, name))
        self.temperature.fill_(temperature(chosen))
        self.choice.take(c=c, gamma=gamma, uar=chosen.uar)

    def _solve(self, x: Tensor, targets: Tensor, **values: Any) -> Machine:
        """Return the solution of scikit-learn's SVC under some values: (N, D), or of a kernel between clips (N, N)."""
        from sklearn.svm import SVC

        found: Any = SVC(class_weight=self.class_weight, **values).fit(x.numpy(), targets.numpy())
        classes = torch.from_numpy(found.classes_)
        sign = -1 if len(classes) == 2 else 1  # scikit-learn turns the sign of a single pair
        own, intercepts = sign * torch.from_numpy(found.dual_coef_), sign * torch.from_numpy(found.intercept_)
        rank = torch.arange(len(classes)).repeat_interleave(torch.from_numpy(found.n_support_).long())  # (S,)
        owner = classes[rank]
        dual = torch.zeros(len(self.present) - 1, len(rank), dtype=torch.float64)
        for row in range(len(classes) - 1):
            other = classes[row + (row >= rank).long()]  # (S,), leaving out the own class
            dual[other - (other > owner).long(), torch.arange(len(rank))] = own[row]
        intercept, present = torch.zeros_like(self.intercept), torch.zeros_like(self.present)
        present[classes] = True
        i, j = self._pairs()
        intercept[present[i] & present[j]] = intercepts
        return Machine(torch.from_numpy(found.support_).long(), owner, dual, intercept, present)

    def _pairs(self) -> Tensor:
        """Return first and second class of each pair, (2, pairs)."""
        classes = len(self.present)
        return torch.triu_indices(classes, classes, offset=1, device=self.present.device)

    def _scores(self, kernel: Tensor, of: "Machine | SupportVectorMachine") -> Tensor:
        """Return votes and how clear they were: (B, S) -> (B, classes); -inf of a class without a clip."""
        i, j = self._pairs()
        weights = torch.where(of.owner == i[:, None], of.dual[j - 1], 0.0)  # (pairs, S)
        weights += torch.where(of.owner == j[:, None], of.dual[i], 0.0)
        real = of.present[i] & of.present[j]
        decision = (kernel @ weights.T + of.intercept) * real  # (B, pairs)
        votes, sums = (kernel.new_zeros(len(kernel), len(of.present)) for _ in range(2))
        votes.index_add_(1, i, ((decision >= 0) & real).double())
        votes.index_add_(1, j, ((decision < 0) & real).double())
        sums.index_add_(1, i, decision).index_add_(1, j, -decision)
        return (votes + sums / (3 * (sums.abs() + 1))).masked_fill(~of.present, -torch.inf)


def _scale(x: Tensor) -> float:
    """Return what scikit-learn calls a gamma of ``scale``."""
    variance = x.double().var(correction=0).item()
    return 1 / (x.size(1) * variance) if variance > 0 else 1.0


def square_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the square distance of every two vectors in double precision: (B, D), (S, D) -> (B, S)."""
    x, y = x.double(), y.double()
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp(min=0)


def temperature(chosen: Chosen) -> float:
    """Return what held out scores are to be divided by to be the likeliest logits; 1 where there are none."""
    from scipy.optimize import minimize_scalar

    known = chosen.scores.gather(1, chosen.targets[:, None])[:, 0] > -torch.inf if len(chosen.scores) else None
    if known is None or not known.any():
        return 1.0
    scores, targets = chosen.scores[known], chosen.targets[known]

    def loss(exponent: float) -> float:
        return float(nn.functional.cross_entropy(scores / math.exp(exponent), targets))

    found = minimize_scalar(loss, bounds=tuple(map(math.log, TEMPERATURES)), method="bounded")
    return math.exp(found.x)
