"""Calibration that a checkpoint stores: temperature, thresholds of rejection, and size of prediction sets.

All of it is fitted to validation clips. It holds for clips that are exchangeable with them, such as other clips of the
same speakers; on unseen speakers and other corpora an error rate or a coverage may be missed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ser_lightning.calibration.measures import curve_of, measure, reliability, thinned
from ser_lightning.calibration.temperature import Labels, Logits, Probabilities, fit_temperature, probabilities
from ser_lightning.errors import InputError

COVERAGE = 0.9  # share of prediction sets that hold the true class
SHARES = np.linspace(0, 1, 21)  # shares of rejected clips whose thresholds are stored
REJECTED = (0.1, 0.2, 0.3)  # shares whose error a result states
UNSURE = "unsure"


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Certainty of a model, as measured on validation clips.

    Args:
        temperature: divides the logits
        clips: number of validation clips
        confidences: calibrated probability of the predicted class that 0, 5, ..., 100 % of the clips do not exceed
        coverage: share of prediction sets that hold the true class, for clips exchangeable with the validation clips
        least_probability: a prediction set holds every class of at least this calibrated probability

    """

    temperature: float
    clips: int
    confidences: Sequence[float]
    coverage: float
    least_probability: float

    @classmethod
    def from_plain(cls, values: Any) -> Self:
        """Return the calibration that a checkpoint or a result stores.

        Raises:
            InputError: a value is missing or out of range

        """
        try:
            read = cls(
                temperature=float(values["temperature"]),
                clips=int(values["clips"]),
                confidences=tuple(float(value) for value in values["confidences"]),
                coverage=float(values["coverage"]),
                least_probability=float(values["least_probability"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the calibration is damaged: {error!r}; train the run again") from error
        shares = (*read.confidences, read.coverage, read.least_probability)
        if not (0 < read.temperature < math.inf and len(read.confidences) == len(SHARES)) or not all(
            0 <= share <= 1 for share in shares
        ):
            raise InputError(
                f"the calibration is damaged: temperature {read.temperature}, {len(read.confidences)} thresholds;"
                " expected a temperature above 0, and shares from 0 to 1. Train the run again."
            )
        return read

    def as_plain(self) -> dict[str, Any]:
        """Return the calibration as plain values."""
        return {**asdict(self), "confidences": list(self.confidences)}

    def threshold(self, reject: float) -> float:
        """Return the confidence below which an answer is rejected.

        Args:
            reject: share of the validation clips that are rejected, from 0, for which nothing is ever rejected, to 1

        """
        return 0.0 if reject == 0 else float(np.interp(reject, SHARES, self.confidences))


def fit_calibration(logits: Logits, target: Labels) -> Calibration:
    """Fit a calibration to validation clips.

    If every clip is predicted correctly, the likelihood grows without bound as the temperature falls, and the
    temperature stays 1.

    Args:
        logits: (N, classes)
        target: (N,), index of the true class

    """
    all_correct = bool((logits.argmax(axis=1) == target).all())
    temperature = 1.0 if all_correct else fit_temperature(logits, target)
    softmax = probabilities(logits, temperature)
    return Calibration(
        temperature=temperature,
        clips=len(target),
        confidences=np.quantile(softmax.max(axis=1), SHARES).tolist(),
        coverage=COVERAGE,
        least_probability=least_probability(softmax, target, coverage=COVERAGE),
    )


def least_probability(probabilities: Probabilities, target: Labels, *, coverage: float) -> float:
    """Return the probability from which a class belongs to the prediction set: split conformal prediction.

    Clips are compared by the probability of their true class (LAC; Sadinle et al. 2019). With n clips, the bound is the
    k-th highest, k = ceil((n + 1) coverage). With too few clips, every set holds all classes.

    Args:
        probabilities: (N, classes), calibrated probabilities
        target: (N,), index of the true class
        coverage: share of new clips whose set holds the true class

    """
    true = np.sort(probabilities[np.arange(len(target)), target])[::-1]
    k = math.ceil((len(true) + 1) * coverage - 1e-9)
    return 0.0 if k > len(true) else float(true[k - 1])


def unsure(probabilities: Probabilities, threshold: float) -> npt.NDArray[np.bool_]:
    """Return whether each answer is rejected: its probability is below the threshold; (N,)."""
    rejected: npt.NDArray[np.bool_] = probabilities.max(axis=1) < threshold
    return rejected


def prediction_sets(probabilities: Probabilities, bound: float) -> npt.NDArray[np.bool_]:
    """Return which classes the set of each clip holds, (N, classes): the most probable, and all of at least ``bound``.

    Args:
        probabilities: (N, classes), calibrated probabilities
        bound: :attr:`Calibration.least_probability`

    """
    sets: npt.NDArray[np.bool_] = probabilities >= bound
    sets[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return sets


def describe_subset(calibration: Calibration, logits: Logits, target: Labels) -> dict[str, Any]:
    """Return how certain and how right a model is on the clips of a subset, as plain values for a result.

    Args:
        calibration: the calibration of the model
        logits: (N, classes)
        target: (N,), index of the true class

    """
    temperature = calibration.temperature
    before, after = probabilities(logits), probabilities(logits, temperature)
    curve = curve_of(after, target)
    sets = prediction_sets(after, calibration.least_probability)
    return {
        "before": measure(logits, target),
        "after": measure(logits, target, temperature),
        "aurc": curve.area,
        "reject": {f"{share:g}": _rejection(after, target, calibration.threshold(share)) for share in (0, *REJECTED)},
        "sets": {
            "coverage": float(sets[np.arange(len(target)), target].mean()),
            "size": float(sets.sum(axis=1).mean()),
        },
        "reliability": {
            "before": reliability(before, target)._asdict(),
            "after": reliability(after, target)._asdict(),
        },
        "risk_coverage": thinned(curve),
    }


def _rejection(probabilities: Probabilities, target: Labels, threshold: float) -> Mapping[str, float | None]:
    """Return the share of rejected clips, and the share of wrong answers among the others (None without any)."""
    answered = ~unsure(probabilities, threshold)
    wrong = probabilities.argmax(axis=1)[answered] != target[answered]
    return {"rejected": float(1 - answered.mean()), "error": float(wrong.mean()) if len(wrong) else None}
