"""The interface between a model and everything that is done with its logits."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ser_lightning.calibration.calibration import Calibration
from ser_lightning.recording_conditions import TrainingData


class Scorer(Protocol):
    """A model that scores waveforms.

    Attributes:
        emotions: class names, in the order of the logits
        temperature: divides the logits before the softmax; None leaves them as they are
        calibration: thresholds for uncertain answers; None if the model is not calibrated
        training_data: conditions of the training clips; None if they are unknown
        sampling_rate: rate of the waveforms that it takes, Hz

    """

    emotions: tuple[str, ...]
    temperature: float | None
    calibration: Calibration | None
    training_data: TrainingData | None
    sampling_rate: int

    def logits(self, waves: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """Return the logits of waveforms; those of a waveform do not depend on the other waveforms.

        Args:
            waves: (samples,) each, as :meth:`ser_lightning.audio.audio.Audio.convert` returns them: one channel at
                ``sampling_rate``, cut to the part and to the speech that the model was trained on

        Returns:
            (B, C)

        Raises:
            InputError: the features of a waveform cannot be computed

        """
        ...
