"""What models share that are fitted to all training clips at once, without a gradient.

They see a clip as one vector, the mean over its real frames (of clip-level features there is one), unless they say
otherwise. What they learn lies in parameters that need no gradient, so that a checkpoint carries it and a count of
parameters counts it. Their hyper-parameters are chosen by an inner validation on clips of training, grouped so that no
speaker is on both sides; the model is then fitted to all of them. The standardisation before it is fitted to all
training clips, also to those held out inside: that moves the choice at most, never what is validated or tested.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from ser_lightning import metrics
from ser_lightning.errors import InputError
from ser_lightning.model.layers import Standardize

log = logging.getLogger(__name__)

ABSENT = -30.0  # log-probability of a class without a training clip: nothing, and still a finite loss


class Choice(nn.Module):
    """What inner validation chose, for the checkpoint to carry.

    Args:
        names: of the hyper-parameters

    """

    uar: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        for name in (*names, "uar"):
            self.register_buffer(name, torch.full((), torch.nan, dtype=torch.float64))

    def take(self, *, uar: float, **values: float) -> None:
        """Take the values over.

        Args:
            uar: of the held out clips of all inner folds together; NaN where there was no inner validation
            values: of the hyper-parameters, by name

        """
        for name, value in {**values, "uar": uar}.items():
            self.get_buffer(name).fill_(value)

    def values(self) -> dict[str, float | None]:
        """Return the values and the UAR that they reached in inner validation; what is not known is None."""
        return {name: None if value.isnan() else value.item() for name, value in self.named_buffers()}


@runtime_checkable
class Fitted(Protocol):
    """A model that learns from all training clips at once."""

    @property
    def choice(self) -> Choice:
        """What inner validation chose."""

    def fit(self, *, frames: Tensor, lengths: Tensor, targets: Tensor, groups: Sequence[str], seed: int) -> None:
        """Learn.

        Args:
            frames: (R, F), the clips one after another
            lengths: (N,), frames of each clip
            targets: (N,), class index of each clip
            groups: (N,), what inner validation keeps together: speakers
            seed: of whatever is random in it

        """


class Growing(Protocol):
    """A module whose tensors are as large as what it was fitted to made them."""

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Make room for the tensors of a state, by name, as far as they make sense: see :func:`make_room`."""


class Chosen(NamedTuple):
    """The outcome of an inner validation.

    Args:
        candidate: index of the best; of equals the first, and the first too where nothing could be held out
        uar: of all held out clips together; NaN where there are none
        scores: (M, classes), of the best for the held out clips
        targets: (M,), class index of each of these

    """

    candidate: int
    uar: float
    scores: Tensor
    targets: Tensor


def frozen(*shape: int, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    """Return a parameter of zeros that no gradient moves."""
    return nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False)


def frames_in_a_row(features: Tensor, lengths: Tensor) -> Tensor:
    """Return the frames of a padded batch that are real, one clip after another: (B, F, K) -> (R, F), a copy."""
    real = torch.arange(features.size(2), device=lengths.device) < lengths[:, None]  # (B, K)
    return features.transpose(1, 2)[real]


def clip_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the sum over each clip's rows: (R, C) -> (N, C) in double precision."""
    clip = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)  # (R,)
    return values.new_zeros(len(lengths), values.size(1), dtype=torch.float64).index_add_(0, clip, values.double())


def clip_means(frames: Tensor, lengths: Tensor, *, standardize: Standardize | None) -> Tensor:
    """Return the mean of each clip's frames, standardised: (R, F) -> (N, F).

    Args:
        frames: (R, F), the clips one after another; left as they are
        lengths: (N,), frames of each clip
        standardize: removes mean and deviation first

    """
    if standardize is not None:
        frames = standardize(frames.clone())
    return (clip_sums(frames, lengths) / lengths[:, None]).float()


def log_probabilities(scores: Tensor) -> Tensor:
    """Return scores as log-probabilities, which are logits too.

    Args:
        scores: (B, classes) up to a constant a row; -inf of the classes that training had no clip of

    """
    return scores.log_softmax(1).masked_fill(scores == -torch.inf, ABSENT).float()


def choose(
    score: Callable[[Tensor, Tensor], Tensor],
    *,
    targets: Tensor,
    groups: Sequence[str],
    folds: int,
) -> Chosen:
    """Choose among candidates by the UAR of clips held out of training, pooled over the folds.

    Args:
        score: from indices of clips to learn from and of held out ones (M,), the scores of the latter by every
            candidate (candidates, M, classes); -inf of classes there was nothing to learn of
        targets: (N,), class index of each clip
        groups: (N,), what is never divided
        folds: of the groups; fewer where there are fewer groups, and no validation where there is one

    """
    parts, truth = [], []
    for train, held in _folds(targets, groups, folds):
        parts.append(score(train, held))
        truth.append(targets[held])
    if not parts:
        log.warning("no inner validation: the training clips cannot be divided; the first value of each list is taken")
        return Chosen(0, float("nan"), torch.empty(0), torch.empty(0))
    scores, target = torch.cat(parts, dim=1), torch.cat(truth)
    uars = [_uar(target, of) for of in scores]
    best = int(np.argmax(uars))
    return Chosen(best, uars[best], scores[best], target)


def _folds(targets: Tensor, groups: Sequence[str], folds: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the clips to learn from and those held out; folds that leave a single class to learn are passed over."""
    from sklearn.model_selection import GroupKFold

    number = min(folds, len(set(groups)))
    if number < 2:
        return
    for train, held in GroupKFold(number).split(targets, groups=groups):
        if _number_of_classes(targets[train]) > 1:
            yield torch.from_numpy(train), torch.from_numpy(held)


def _uar(target: Tensor, scores: Tensor) -> float:
    return metrics.uar(metrics.confusion_matrix(target.numpy(), scores.argmax(1).numpy(), scores.size(1)))


def _number_of_classes(targets: Tensor) -> int:
    return int(targets.bincount().count_nonzero())


def check_clips(targets: Tensor) -> None:
    """Hold the training clips against what can be learned from.

    Raises:
        InputError: all are of one class

    """
    if _number_of_classes(targets) < 2:
        raise InputError("the training clips are all of one emotion; expected two at least; choose another split")


def check_lists(folds: int, **lists: Sequence[float]) -> None:
    """Hold the values of inner validation against what they may be.

    Args:
        folds: of it
        lists: the candidates of each hyper-parameter

    Raises:
        ValueError: fewer than two folds, an empty list, a value that is not above 0

    """
    if folds < 2:
        raise ValueError(f"model.folds is {folds}; expected at least 2")
    for name, values in lists.items():
        if not values or min(values) <= 0 or not np.isfinite(values).all():
            raise ValueError(f"model.{name} is {list(values)}; expected finite numbers above 0 to choose from")


@contextmanager
def scikit_learn(*, told: bool) -> Iterator[None]:
    """Let scikit-learn fit with the threads that torch has.

    Args:
        told: log that something did not converge; else that is nobody's concern

    """
    from sklearn.exceptions import ConvergenceWarning

    with threadpool_limits(torch.get_num_threads()), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif told:
            log.warning("not converged: %s", str(warning.message).splitlines()[0])


def make_room(module: nn.Module, state: Mapping[str, Tensor], *, along: Mapping[str, int]) -> None:
    """Give tensors the size along an axis that those of a state have: how much there is to hold is known by fitting.

    Nothing changes where the state's tensors are not of one such size and else of the module's shapes, or claim more
    than is there: a strange file may hold a tensor of a terabyte whose elements are all the same one.

    Args:
        module: whose tensors
        state: the tensors to be loaded, by name
        along: of each tensor the axis that may grow

    """
    own = module.state_dict()
    if not along.keys() <= state.keys() or any(state[name].dim() != own[name].dim() for name in along):
        return
    sizes = {state[name].size(axis) for name, axis in along.items()}
    shapes = {
        name: tuple(max(sizes) if index == axis else size for index, size in enumerate(own[name].shape))
        for name, axis in along.items()
    }
    for name, shape in shapes.items():
        new = state[name]
        if tuple(new.shape) != shape or new.numel() * new.element_size() > new.untyped_storage().nbytes():
            return
    for name, shape in shapes.items():
        tensor = module.get_parameter(name) if name in dict(module.named_parameters()) else module.get_buffer(name)
        tensor.data = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)


def before_loading(module: Growing, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Make room, as a hook of torch that is called before a state is loaded."""
    module.make_room({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)})
