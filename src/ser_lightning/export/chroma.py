"""Pitch classes of a spectrum with the estimated tuning of the recording, as operations that exist in ONNX."""

import numpy as np
import torch
from torch import Tensor, nn

from ser_lightning.export.spectra import constant
from ser_lightning.features import spectral
from ser_lightning.features.tuning import EDGES, PEAK_HEIGHT, pitch_range

BINS = len(EDGES) - 1  # of the histogram of deviations
UNTUNED = int(np.searchsorted(EDGES, 0.0))  # bin of a recording without pitches


class Chroma(nn.Module):
    """Strength of the pitch classes in each frame, (K, bins) -> (K, n_chroma).

    Args:
        sampling_rate: rate from which the frequencies of the bins are computed, Hz
        n_fft: length of a frame, samples
        n_chroma: number of pitch classes

    Source: ser_lightning.features.tuning, ser_lightning.features.spectral.chroma

    """

    edges: Tensor
    banks: Tensor

    def __init__(self, *, sampling_rate: int, n_fft: int, n_chroma: int) -> None:
        super().__init__()
        self.sampling_rate, self.n_fft, self.n_chroma = sampling_rate, n_fft, n_chroma
        self.low, self.high = pitch_range(1 + n_fft // 2, sampling_rate)
        bank = {"sampling_rate": sampling_rate, "n_fft": n_fft, "n_chroma": n_chroma}
        banks = [spectral.chroma_bank(**bank, tuning=float(tuning)).T for tuning in EDGES[:-1]]
        self.register_buffer("banks", constant(np.stack(banks)))  # (BINS, bins, n_chroma)
        self.register_buffer("edges", constant(EDGES))

    def forward(self, magnitude: Tensor, spectrum: Tensor) -> Tensor:
        """Return the pitch classes.

        Args:
            magnitude: (K, bins), in which the pitches are searched
            spectrum: (K, bins), whose strength is summed in each pitch class

        """
        strength = spectrum @ self.banks[self._tuning(magnitude)]
        strongest = strength.amax(dim=1, keepdim=True)
        return strength / torch.where(strongest < float(np.finfo(np.float32).tiny), 1.0, strongest)

    def _tuning(self, magnitude: Tensor) -> Tensor:
        """Return the bin of the most frequent deviation from A440."""
        if self.low >= self.high:
            return torch.tensor(UNTUNED)
        octaves = self._pitches(magnitude).div(440.0 / 16).double().log2().float()
        deviation = octaves * self.n_chroma
        deviation = deviation - deviation.floor()
        deviation = torch.where(deviation >= 0.5, deviation - 1, deviation).double()
        guess = ((deviation + 0.5) * BINS).floor().long().clamp(0, BINS - 1)
        below = (deviation < self.edges[guess]) & (guess > 0)
        above = (deviation >= self.edges[guess + 1]) & (guess < BINS - 1)
        bins = guess - below.long() + above.long()
        counts = torch.zeros(BINS, dtype=torch.int64).scatter_add(0, bins, torch.ones_like(bins))
        return torch.where(counts.sum() > 0, counts.argmax(), UNTUNED)

    def _pitches(self, magnitude: Tensor) -> Tensor:
        """Return the pitches, Hz, of the peaks that are at least as strong as the median peak, (pitches,)."""
        left = magnitude[:, self.low - 1 : self.high - 1]
        middle = magnitude[:, self.low : self.high]
        right = magnitude[:, self.low + 1 : self.high + 1]
        threshold = magnitude.amax(dim=1, keepdim=True) * PEAK_HEIGHT
        peaks = ((middle > threshold) & (middle > left) & (middle >= right)).nonzero()  # (P, 2)
        a, b, c = (values[peaks[:, 0], peaks[:, 1]] for values in (left, middle, right))
        difference = c - a
        curvature = (a + c).double() - 2.0 * b.double()
        slope = difference.double() / 2
        usable = slope.abs() < curvature.abs()
        shift = torch.where(usable, -slope / torch.where(usable, curvature, 1.0), 0.0).float()
        places = (peaks[:, 1] + self.low).double() + shift.double()
        pitch = (places * self.sampling_rate / self.n_fft).float()
        strength = b + 0.5 * (difference / 2.0) * shift
        return pitch[(strength >= _median(strength)).nonzero()[:, 0]]


def _median(values: Tensor) -> Tensor:
    """Return the median of (N,), the mean of the two middle values if N is even; 0 for N = 0."""
    ordered = torch.cat([values.sort().values, values.new_zeros(1)])
    count = torch._shape_as_tensor(values)
    middle = torch.div(count - 1, 2, rounding_mode="floor").clamp(min=0)
    upper = torch.div(count, 2, rounding_mode="floor")
    return (ordered[middle] + ordered[upper]) / 2
