"""Three contours of the speech signal."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Contours:
    """Level in dB, zero-crossing rate and spectral centroid in kHz of each frame.

    Args:
        sampling_rate: sampling rate of the waveforms, Hz
        frame_ms: length of a frame and distance of two frames, ms
        standardize: whether the network standardizes the features

    Raises:
        ValueError: a frame shorter than two samples

    """

    sampling_rate: int
    frame_ms: float
    standardize: bool

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"frame_ms is {self.frame_ms}, shorter than two samples; expected a longer frame")

    @property
    def samples(self) -> int:
        """Samples per frame."""
        return round(self.sampling_rate * self.frame_ms / 1000)

    @property
    def size(self) -> int:
        """Number of features F."""
        return 3

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features (K, F) of a waveform (samples,); the last frame is completed with zeros."""
        frames = np.pad(wave, (0, -len(wave) % self.samples)).reshape(-1, self.samples)
        level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-10)
        crossings = (np.diff(np.signbit(frames), axis=1) != 0).mean(axis=1)
        power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
        kilohertz = np.fft.rfftfreq(self.samples, 1 / self.sampling_rate) / 1000
        centroid = power @ kilohertz / (power.sum(axis=1) + 1e-10)
        return np.stack([level, crossings, centroid], axis=1).astype(np.float32)
