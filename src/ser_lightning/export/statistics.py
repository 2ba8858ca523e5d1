"""Statistics of features over time, as operations that exist in ONNX."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def _quantile(frames: Tensor, q: float) -> Tensor:
    """Return a quantile of each feature with linear interpolation, (K, F) -> (F,)."""
    ordered = frames.sort(dim=0).values
    place = (torch._shape_as_tensor(frames)[:1] - 1).double() * q  # (1,)
    lower = place.floor()
    low, high = ordered[lower.long()], ordered[place.ceil().long()]
    return (low + (high - low) * (place - lower)[:, None])[0]


def _moment(frames: Tensor, order: int) -> Tensor:
    """Return the standardized central moment of each feature, (K, F) -> (F,); 0 for constant features."""
    deviations = frames - frames.mean(0)
    constant = frames.amax(0) == frames.amin(0)
    scale = torch.where(constant, 1.0, deviations.square().mean(0).sqrt())
    return torch.where(constant, 0.0, (deviations / scale).pow(order).mean(0))


def deviation(frames: Tensor) -> Tensor:
    """Return the standard deviation of each feature, not corrected for bias, (K, F) -> (F,)."""
    return (frames - frames.mean(0)).square().mean(0).sqrt()


FUNCTIONALS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda frames: frames.mean(0),
    "std": deviation,
    "min": lambda frames: frames.amin(0),
    "max": lambda frames: frames.amax(0),
    "median": lambda frames: _quantile(frames, 0.5),
    "iqr": lambda frames: _quantile(frames, 0.75) - _quantile(frames, 0.25),
    "skewness": lambda frames: _moment(frames, 3),
    "kurtosis": lambda frames: _moment(frames, 4) - 3 * (frames.amax(0) > frames.amin(0)).double(),
}


def summarize(frames: Tensor, functionals: Sequence[str]) -> Tensor:
    """Compute statistics of features over time; see :func:`ser_lightning.features.statistics.summarize`.

    Args:
        frames: (K, F)
        functionals: names of the statistics

    Returns:
        (len(functionals) * F,)

    """
    exact = frames.double()
    return torch.cat([FUNCTIONALS[functional](exact) for functional in functionals]).float()
