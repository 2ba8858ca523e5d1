"""Certainty of an answer: calibrated probabilities, ``unsure`` and prediction sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.calibration.calibration import UNSURE, Calibration, prediction_sets, unsure
from ser_lightning.calibration.temperature import probabilities
from ser_lightning.errors import InputError
from ser_lightning.predict.scorer import Scorer


class Answer(NamedTuple):
    """Answer for a segment.

    Args:
        text: the most probable emotion, or ``unsure``
        probabilities: emotion -> calibrated probability, in class order
        emotions: the prediction set, the most probable emotion first; None if no sets were asked for

    """

    text: str
    probabilities: dict[str, float]
    emotions: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Certainty:
    """Turns logits into answers.

    Args:
        emotions: class names, in the order of the logits
        temperature: divides the logits; None leaves them as they are
        threshold: probability below which the answer is ``unsure``
        bound: probability from which an emotion belongs to the prediction set; None for no sets

    """

    emotions: Sequence[str]
    temperature: float | None
    threshold: float = 0.0
    bound: float | None = None

    def answer(self, logits: npt.NDArray[np.float64]) -> Answer:
        """Return the answer for the logits (C,) of a segment."""
        return self.decide(probabilities(logits[None], self.temperature)[0])

    def decide(self, values: npt.NDArray[np.float64]) -> Answer:
        """Return the answer for the calibrated probabilities (C,) of a segment."""
        batch = values[None]
        order = np.argsort(-batch[0], kind="stable")
        sets = None if self.bound is None else prediction_sets(batch, self.bound)[0]
        return Answer(
            text=UNSURE if unsure(batch, self.threshold)[0] else self.emotions[order[0]],
            probabilities=dict(zip(self.emotions, batch[0].tolist(), strict=True)),
            emotions=None if sets is None else tuple(self.emotions[index] for index in order if sets[index]),
        )


def certainty_of(scorer: Scorer, *, reject: float, sets: bool) -> Certainty:
    """Return how the answers of a model are given.

    Args:
        scorer: the model
        reject: share of the validation clips that would be answered with ``unsure``, from 0 to below 1
        sets: whether to give prediction sets

    Raises:
        InputError: ``reject`` is out of range, or the model is not calibrated

    """
    if not 0 <= reject < 1:
        raise InputError(f"--reject is {reject}; expected a share from 0 to below 1, such as 0.1")
    calibration: Calibration | None = scorer.calibration
    if calibration is None and (reject or sets):
        option = "--reject" if reject else "--set-size"
        raise InputError(
            f"{option} needs a calibrated model: its thresholds are fitted to validation clips at the end of ser-train"
            " (calibrate=true). Leave it out, or train the model again."
        )
    return Certainty(
        emotions=scorer.emotions,
        temperature=scorer.temperature,
        threshold=calibration.threshold(reject) if calibration else 0.0,
        bound=calibration.least_probability if calibration and sets else None,
    )
