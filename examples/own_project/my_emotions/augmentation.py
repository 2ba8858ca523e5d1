"""Copies of the training clips as they sound over a telephone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Telephone:
    """One copy of each training clip, limited to a band of frequencies.

    Args:
        sampling_rate: sampling rate of the waveforms, Hz
        low: lower end of the band, Hz
        high: upper end of the band, Hz

    """

    sampling_rate: int
    low: float
    high: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the copies."""
        return ("telephone",)

    def __call__(self, wave: Waveform, *, utterance: str) -> dict[str, Waveform]:
        """Return the copies of a waveform (samples,) by name; a random one would be seeded by the utterance."""
        spectrum = np.fft.rfft(wave)
        hertz = np.fft.rfftfreq(len(wave), 1 / self.sampling_rate)
        spectrum[(hertz < self.low) | (hertz > self.high)] = 0
        return {"telephone": np.fft.irfft(spectrum, len(wave)).astype(np.float32)}
