"""Measures of probabilities: calibration error, Brier score, log-likelihood, and risk by coverage.

The expected calibration error (ECE) uses 15 bins of equal mass: the clips are sorted by confidence, and each bin has
the same number of clips. Bins of equal width, which many papers use, are empty where a
model is never so uncertain.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.calibration.temperature import Labels, Logits, Probabilities, log_probabilities, probabilities

BINS = 15
Floats = npt.NDArray[np.float64]


class Reliability(NamedTuple):
    """Bins of clips of similar confidence, the least confident first.

    Args:
        clips: number of clips of each bin
        confidence: mean probability of the predicted class in each bin
        accuracy: share of correct clips of each bin

    """

    clips: list[int]
    confidence: list[float]
    accuracy: list[float]

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of confidence and accuracy, weighted by the clips."""
        gaps = np.abs(np.subtract(self.confidence, self.accuracy))
        return float(np.average(gaps, weights=self.clips))


def reliability(probabilities: Probabilities, target: Labels, *, bins: int = BINS) -> Reliability:
    """Sort clips by confidence into bins of equal mass; with fewer clips than bins, each clip is a bin.

    Args:
        probabilities: (N, classes), of each class
        target: (N,), index of the true class
        bins: number of bins

    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return Reliability(
        clips=[len(part) for part in parts],
        confidence=[float(confidence[part].mean()) for part in parts],
        accuracy=[float(correct[part].mean()) for part in parts],
    )


def brier_score(probabilities: Probabilities, target: Labels) -> float:
    """Return the mean squared distance of the probabilities and the true class, from 0 (best) to 2 (Brier 1950).

    >>> brier_score(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 1]))
    0.25

    """
    truth = np.eye(probabilities.shape[1])[target]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def measure(logits: Logits, target: Labels, temperature: float | None = None) -> dict[str, float]:
    """Return the calibration error, the Brier score and the mean negative log-likelihood.

    Args:
        logits: (N, classes)
        target: (N,), index of the true class
        temperature: divides the logits; None is 1

    """
    softmax = probabilities(logits, temperature)
    likelihood = log_probabilities(logits, temperature)[np.arange(len(target)), target]
    return {
        "ece": reliability(softmax, target).error,
        "brier": brier_score(softmax, target),
        "nll": -float(likelihood.mean()),
    }


class RiskCoverage(NamedTuple):
    """Error of the answers that remain when the least certain ones are left out.

    Args:
        coverage: (N,), share of the clips that are answered, ascending up to 1
        risk: (N,), share of wrong answers among them

    """

    coverage: Floats
    risk: Floats

    @property
    def area(self) -> float:
        """The area under the curve (AURC, Geifman & El-Yaniv 2017): the mean risk over all coverages."""
        return float(self.risk.mean())


def risk_coverage(confidence: Floats, correct: npt.NDArray[np.bool_]) -> RiskCoverage:
    """Compute the risk-coverage curve; clips of equal confidence are left out in shares, not in an arbitrary order.

    Args:
        confidence: (N,), probability of the predicted class
        correct: (N,), whether it is the true class

    """
    _, group, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    error = (np.bincount(group, weights=~correct) / size)[np.sort(group)]  # the most confident clips first
    answered = np.arange(1, len(error) + 1)
    return RiskCoverage(answered / len(error), np.cumsum(error) / answered)


def curve_of(probabilities: Probabilities, target: Labels) -> RiskCoverage:
    """Return the risk-coverage curve of probabilities (N, classes) and true classes (N,)."""
    return risk_coverage(probabilities.max(axis=1), probabilities.argmax(axis=1) == target)


def thinned(curve: RiskCoverage, *, points: int = 51) -> dict[str, list[float]]:
    """Return a curve at equally spaced coverages, the last of which is 1, for result files."""
    at = np.unique(np.linspace(0, len(curve.risk) - 1, points).round().astype(int))
    values: dict[str, Any] = {"coverage": curve.coverage[at].tolist(), "risk": curve.risk[at].tolist()}
    return values
