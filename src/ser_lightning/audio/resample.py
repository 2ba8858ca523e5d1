"""Resample a signal block by block."""

import numpy as np
import numpy.typing as npt
import soxr

Floats = npt.NDArray[np.float32]


class Resampler:
    """Resample one channel block by block, with the same samples as :func:`~ser_lightning.audio.reader.to_mono`.

    Args:
        rate: sampling rate of the input, Hz
        sampling_rate: sampling rate of the output, Hz
        kind: ``soxr`` or ``linear``

    """

    def __init__(self, rate: int, sampling_rate: int, kind: str) -> None:
        self.rate = rate
        self.sampling_rate = sampling_rate
        self.linear = kind == "linear"
        self.stream = soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32", quality="HQ")
        self.rest = np.zeros(0, np.float32)  # linear: samples from index self.read of the input on
        self.read = 0
        self.written = 0

    def feed(self, samples: Floats) -> Floats:
        """Return the output that the next samples (n,) complete."""
        if self.rate == self.sampling_rate:
            return samples
        if not self.linear:
            return self._soxr(samples, last=False)
        self.rest = np.concatenate([self.rest, samples])
        # An output between two input samples needs both.
        ready = (self.read + len(self.rest) - 1) * self.sampling_rate // self.rate + 1
        return self._interpolate(max(self.written, ready))

    def finish(self) -> Floats:
        """Return the rest of the output."""
        if self.rate == self.sampling_rate:
            return np.zeros(0, np.float32)
        if not self.linear:
            return self._soxr(np.zeros(0, np.float32), last=True)
        return self._interpolate(-(-(self.read + len(self.rest)) * self.sampling_rate // self.rate))

    def _soxr(self, samples: Floats, *, last: bool) -> Floats:
        resampled: Floats = self.stream.resample_chunk(samples, last=last)
        return resampled

    def _interpolate(self, end: int) -> Floats:
        """Return the outputs up to index ``end``, and forget the inputs that no later output needs."""
        before, part = np.divmod(np.arange(self.written, end) * self.rate, self.sampling_rate)
        before -= self.read
        after = np.minimum(before + 1, len(self.rest) - 1)
        weight = (part / self.sampling_rate).astype(np.float32)
        resampled: Floats = self.rest[before] + weight * (self.rest[after] - self.rest[before])
        self.written = end
        used = min(end * self.rate // self.sampling_rate - self.read, len(self.rest))
        self.rest, self.read = self.rest[used:], self.read + used
        return resampled
