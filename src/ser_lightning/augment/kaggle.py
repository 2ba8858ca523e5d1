"""The augmentation of the Kaggle notebooks: noise, time stretch with pitch shift, and roll."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.clip_generator import clip_generator
from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class KaggleCopies:
    """Three augmented copies of a clip, made with librosa as in the notebooks.

    ``noise`` adds Gaussian noise whose standard deviation is a random share of the maximum sample of the clip;
    ``stretch_pitch`` is stretched in time and then shifted in pitch; ``roll`` rotates the clip by a random number of
    samples, so that samples shifted out at one end reappear at the other.

    Args:
        seed: seed of the noise and the roll, which depend only on the seed and the utterance id
        noise_share: upper limit of the standard deviation of the noise, as a share of the maximum sample; the share of
            a clip is uniform between 0 and this
        stretch_rate: speed of the ``stretch_pitch`` copy at constant pitch; below 1 is slower
        pitch_steps: semitones by which the stretched copy is raised
        roll_samples: maximum roll in either direction, samples; the drawn roll is truncated toward 0 as in the
            notebooks

    Raises:
        InputError: a value is out of range

    Source: kaggle.com/code/shivamburnwal/speech-emotion-recognition for the first two copies;
    aditya1220/speech-emotion-recognition for all three. Their values at 22.05 kHz: 0.035, 0.8, 0.7 and 5000.

    """

    seed: int
    noise_share: float
    stretch_rate: float
    pitch_steps: float
    roll_samples: int

    libraries: ClassVar = ("librosa", "scipy", "soxr")
    names: ClassVar = ("noise", "stretch_pitch", "roll")

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("noise_share", 0 < self.noise_share <= 1, "a number above 0, at most 1"),
            ("stretch_rate", 0.25 <= self.stretch_rate <= 4, "a number from 0.25 to 4"),
            ("pitch_steps", abs(self.pitch_steps) <= 24, "semitones from -24 to 24"),
            ("roll_samples", self.roll_samples >= 1, "at least 1"),
        ):
            check_value(f"augment.{name}", getattr(self, name), valid=valid, expected=expected)

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the augmented copies of a clip; ``wave`` is not modified.

        Args:
            wave: (samples,), full scale 1
            utterance: id of the utterance, from which its noise and roll are seeded

        Returns:
            The copies by name: (samples,) for ``noise`` and ``roll``, (samples / stretch_rate,) for ``stretch_pitch``.

        """
        generator = clip_generator(utterance, seed=self.seed)
        deviation = self.noise_share * generator.uniform() * float(wave.max())
        noise = (deviation * generator.standard_normal(len(wave))).astype(np.float32)
        roll = int(generator.uniform(-self.roll_samples, self.roll_samples))
        return dict(zip(self.names, (wave + noise, self._slower_and_higher(wave), np.roll(wave, roll)), strict=True))

    def _slower_and_higher(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        import librosa  # slow to import (about a second), and only this option needs it

        with warnings.catch_warnings():
            # librosa warns of a clip shorter than a window, which it pads with silence.
            warnings.filterwarnings("ignore", "n_fft=.* is too large for input signal", UserWarning)
            slower = librosa.effects.time_stretch(wave, rate=self.stretch_rate)
            # The value of sr has no effect, because a pitch interval is a frequency ratio.
            higher = librosa.effects.pitch_shift(slower, sr=22050, n_steps=self.pitch_steps)
        return np.asarray(higher, dtype=np.float32)
