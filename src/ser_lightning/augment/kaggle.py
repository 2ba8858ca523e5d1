"""The copies of the Kaggle notebooks: in noise, slower and higher, rolled round."""

import warnings

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.draw import generator_of
from ser_lightning.errors import InputError


class KaggleCopies:
    """Three altered copies of a clip, by librosa as in the notebooks.

    ``noise`` adds Gaussian noise whose deviation is a random share of the clip's greatest sample; ``stretch_pitch`` is
    slowed down and then raised; ``roll`` moves the clip round by a random number of samples: its end comes first, or
    its beginning last.

    Args:
        seed: of the noise and of the roll; they depend on the seed and the utterance id, on no other clip
        noise_share: greatest deviation of the noise, as a share of the greatest sample; what a clip gets is uniform
            between none and that
        stretch_rate: speed of the slower copy, its pitch kept
        pitch_steps: semitones by which that copy is raised then
        roll_samples: greatest roll to either side, rounded towards none as the notebooks do

    Raises:
        InputError: a value out of its range

    Source: kaggle.com/code/shivamburnwal/speech-emotion-recognition, the first two; aditya1220/speech-emotion-
    recognition, all three. There, at 22.05 kHz: 0.035, 0.8, 0.7 and 5000.

    """

    names: tuple[str, ...] = ("noise", "stretch_pitch", "roll")

    def __init__(
        self,
        *,
        seed: int,
        noise_share: float,
        stretch_rate: float,
        pitch_steps: float,
        roll_samples: int,
    ) -> None:
        for name, value, fits, expected in (
            ("noise_share", noise_share, 0 < noise_share <= 1, "a number above 0, at most 1"),
            ("stretch_rate", stretch_rate, 0.25 <= stretch_rate <= 4, "a number from 0.25 to 4"),
            ("pitch_steps", pitch_steps, abs(pitch_steps) <= 24, "semitones from -24 to 24"),
            ("roll_samples", roll_samples, roll_samples >= 1, "at least 1"),
        ):
            if not fits:
                raise InputError(f"augment.{name} is {value}; expected {expected}")
        self.seed = seed
        self.noise_share = noise_share
        self.stretch_rate = stretch_rate
        self.pitch_steps = pitch_steps
        self.roll_samples = roll_samples

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make the copies of a clip; ``wave`` itself is left alone.

        Args:
            wave: (samples,), full scale 1
            utterance: id of the utterance, the seed of its own noise and roll

        Returns:
            The copy of each name: (samples,) of the first and last, (samples / stretch_rate,) of the other.

        """
        generator = generator_of(utterance, seed=self.seed)
        deviation = self.noise_share * generator.uniform() * float(wave.max())
        noise = (deviation * generator.standard_normal(len(wave))).astype(np.float32)
        roll = int(generator.uniform(-self.roll_samples, self.roll_samples))
        return dict(zip(self.names, (wave + noise, self._slower_and_higher(wave), np.roll(wave, roll)), strict=True))

    def _slower_and_higher(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        import librosa  # a second that only this option costs

        with warnings.catch_warnings():
            # Of a clip shorter than a window; it is padded with silence.
            warnings.filterwarnings("ignore", "n_fft=.* is too large for input signal", UserWarning)
            slower = librosa.effects.time_stretch(wave, rate=self.stretch_rate)
            # Whatever the rate, an interval is a ratio.
            higher = librosa.effects.pitch_shift(slower, sr=22050, n_steps=self.pitch_steps)
        return np.asarray(higher, dtype=np.float32)
