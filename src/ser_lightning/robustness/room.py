"""Reverberation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from ser_lightning.robustness.condition import Floats, RecordingContext, check_levels, power
from ser_lightning.robustness.noise import draw_file, sound_files


@dataclass(frozen=True, kw_only=True)
class SyntheticRoom:
    """A room response of direct sound and exponentially decaying white noise.

    Args:
        levels: reverberation times RT60, in which the reverberation falls by 60 dB, seconds
        direct_db: level of the direct sound above the reverberation, dB

    Source: Polack 1988, La transmission de l'energie sonore dans les salles, for the model of the decay.
    """

    levels: Sequence[float]
    direct_db: float
    unit = "s reverberation time"
    missing = ""

    def __post_init__(self) -> None:
        check_levels(self, self.levels, least=0.01, most=20)

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave in a room, with its length and power."""
        seconds = np.arange(int(level * recording.rate)) / recording.rate
        tail = recording.generator.standard_normal(len(seconds)) * 10 ** (-3 * seconds / level)
        tail *= 10 ** (-self.direct_db / 20) / np.sqrt(np.square(tail).sum())
        tail[0] += 1
        return convolve(wave, tail.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class RecordedRoom:
    """A random impulse response of a folder.

    Args:
        levels: shares of the recording in the room; the rest is the recording without the room, %
        folder: folder with impulse responses as sound files; None leaves the condition out

    Raises:
        InputError: the folder does not exist or has no sound file

    """

    levels: Sequence[float]
    folder: str | None
    unit = "% in the room"

    def __post_init__(self) -> None:
        check_levels(self, self.levels, least=0, most=100)
        if self.folder is not None:
            sound_files(self.folder)

    @property
    def missing(self) -> str:
        """Reason why the condition cannot be measured."""
        return "no folder of impulse responses; give --rooms FOLDER" if self.folder is None else ""

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave in a room, with its length and power."""
        response = draw_file(str(self.folder), recording)
        response = response[int(np.abs(response).argmax()) :]  # without the delay of the direct sound
        return ((1 - level / 100) * wave + level / 100 * convolve(wave, response)).astype(np.float32)


def convolve(wave: Floats, response: Floats) -> Floats:
    """Return a wave (samples,) in a room with the given response, with the length and the power of the wave."""
    wet = signal.fftconvolve(wave, response)[: len(wave)]
    loudness = power(wet)
    factor = (power(wave) / loudness) ** 0.5 if loudness > 0 else 1.0
    scaled: Floats = (factor * wet).astype(np.float32)
    return scaled
