"""Reverberation."""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from ser_lightning.robustness.condition import Condition, Floats, RecordingContext, power
from ser_lightning.robustness.noise import RecordedCondition


@dataclass(frozen=True, kw_only=True)
class SyntheticRoom(Condition):
    """A room response of direct sound and exponentially decaying white noise.

    Args:
        levels: reverberation times RT60, in which the reverberation falls by 60 dB, seconds
        direct_db: level of the direct sound above the reverberation, dB

    Source: Polack 1988, La transmission de l'energie sonore dans les salles, for the model of the decay.
    """

    direct_db: float
    unit = "s reverberation time"
    least, most = 0.01, 20

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave in a room, with its length and power."""
        seconds = np.arange(int(level * recording.rate)) / recording.rate
        tail = recording.generator.standard_normal(len(seconds)) * 10 ** (-3 * seconds / level)
        tail *= 10 ** (-self.direct_db / 20) / np.sqrt(np.square(tail).sum())
        tail[0] += 1
        return convolve(wave, tail.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class RecordedRoom(RecordedCondition):
    """A random impulse response of a folder.

    Args:
        levels: shares of the recording in the room; the rest is the recording without the room, %
        folder: folder with impulse responses as sound files; None leaves the condition out

    """

    unit = "% in the room"
    least, most = 0, 100
    remedy = "impulse responses; give --rooms FOLDER"

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave in a room, with its length and power."""
        response = self.draw(recording)
        response = response[int(np.abs(response).argmax()) :]  # without the delay of the direct sound
        return ((1 - level / 100) * wave + level / 100 * convolve(wave, response)).astype(np.float32)


def convolve(wave: Floats, response: Floats) -> Floats:
    """Return a wave (samples,) in a room with the given response, with the length and the power of the wave."""
    wet = signal.fftconvolve(wave, response)[: len(wave)]
    loudness = power(wet)
    factor = (power(wave) / loudness) ** 0.5 if loudness > 0 else 1.0
    scaled: Floats = (factor * wet).astype(np.float32)
    return scaled
