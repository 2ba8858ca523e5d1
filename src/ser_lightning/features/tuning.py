"""Estimate the tuning of a recording, the deviation of its pitches from A440."""

from functools import cache

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.spectrum import mode_of_deviations, pitches

Floats = npt.NDArray[np.float32]

# Values of librosa.piptrack: range of pitches, Hz, and minimum height of a peak relative to the maximum of its frame.
PITCH_MIN, PITCH_MAX = 150.0, 4000.0
PEAK_HEIGHT = 0.1
# Edges of the histogram of deviations, from librosa.pitch_tuning.
EDGES = np.linspace(-0.5, 0.5, 101)


def estimate_tuning(spectrum: Floats, *, sampling_rate: int, n_chroma: int) -> float:
    """Estimate the deviation of the pitches from A440 tuning as the mode of their deviations.

    Only the peaks of the spectrum are processed. Each operation is that of librosa, in the same precision, so that the
    same peaks fall into the same bins of the histogram.

    Args:
        spectrum: (K, 1 + n_fft // 2) magnitudes
        sampling_rate: rate from which the frequencies of the bins are computed, Hz
        n_chroma: number of pitch classes per octave

    Returns:
        The deviation in pitch classes (semitones if there are 12), in [-0.5, 0.5), a multiple of 0.01; 0 without
        pitches.

    Source: librosa.estimate_tuning, librosa.piptrack, librosa.pitch_tuning

    """
    low, high = pitch_range(spectrum.shape[1], sampling_rate)
    if low >= high:
        return 0.0
    pitch = pitches(spectrum, low=low, high=high, height=PEAK_HEIGHT, sampling_rate=sampling_rate)
    if not len(pitch):
        return 0.0
    # NumPy's logarithm instead of the C library's, so that it equals librosa's on every processor.
    octaves = np.log2(pitch / np.float32(440.0 / 16))
    return float(EDGES[mode_of_deviations(octaves, n_chroma=n_chroma, edges=EDGES)])


@cache
def pitch_range(bins: int, sampling_rate: int) -> tuple[int, int]:
    """Return the range of bins in which pitches are searched: the first bin and one past the last."""
    frequencies = np.fft.rfftfreq(2 * (bins - 1), 1 / sampling_rate)
    low, high = np.searchsorted(frequencies, (PITCH_MIN, min(PITCH_MAX, sampling_rate / 2)))
    return int(low), int(high)
