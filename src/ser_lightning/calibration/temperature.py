"""Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.floating[Any]]  # (N, classes)
Probabilities = npt.NDArray[np.float64]  # (N, classes)
Labels = npt.NDArray[np.int64]  # (N,)

TEMPERATURES = (0.01, 100.0)  # bounds of the search


def probabilities(logits: Logits, temperature: float | None = None) -> Probabilities:
    """Return the softmax of logits divided by a temperature.

    Args:
        logits: (N, classes); log-probabilities are logits too
        temperature: above 1 makes the probabilities less extreme; None is 1

    >>> probabilities(np.log([[0.8, 0.2]]), temperature=2).round(3).tolist()
    [[0.667, 0.333]]

    """
    scaled = np.asarray(logits, np.float64) / (1.0 if temperature is None else temperature)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    softmax: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return softmax


def log_probabilities(logits: Logits, temperature: float | None = None) -> npt.NDArray[np.float64]:
    """Return the logarithm of :func:`probabilities`; it stays finite where a probability is rounded to zero."""
    scaled = np.asarray(logits, np.float64) / (1.0 if temperature is None else temperature)
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    log_softmax: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_softmax


def fit_temperature(logits: Logits, target: Labels) -> float:
    """Return the temperature that minimizes the negative log-likelihood of held-out clips.

    Clips whose class the model does not know are ignored; if no clip remains, the temperature is 1.

    Args:
        logits: (N, classes), -inf for a class that the model does not know
        target: (N,), index of the true class

    """
    from scipy.optimize import minimize_scalar  # slow to import

    rows = np.flatnonzero(logits[np.arange(len(target)), target] > -np.inf)
    if not len(rows):
        return 1.0

    def loss(exponent: float) -> float:
        scaled = log_probabilities(logits[rows], math.exp(exponent))
        return -float(scaled[np.arange(len(rows)), target[rows]].mean())

    optimum = minimize_scalar(loss, bounds=tuple(map(math.log, TEMPERATURES)), method="bounded")
    return math.exp(optimum.x)
