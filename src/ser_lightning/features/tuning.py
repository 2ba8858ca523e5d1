"""The tuning of a recording: where its pitches lie between those of A440."""

from functools import cache

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.spectrum import mode_of_deviations, pitches

Floats = npt.NDArray[np.float32]

# librosa.piptrack: the range of pitches, Hz, and the least height of a peak as a part of its frame's highest.
PITCH_MIN, PITCH_MAX = 150.0, 4000.0
PEAK_HEIGHT = 0.1
# librosa.pitch_tuning: the bins of the histogram of deviations.
EDGES = np.linspace(-0.5, 0.5, 101)


def estimate_tuning(spectrum: Floats, *, sampling_rate: int, n_chroma: int) -> float:
    """Estimate how far the pitches lie from those of A440, as the mode of their deviations.

    Only the peaks of the spectrum are visited, and every operation on them is librosa's in librosa's
    precision, so that the same peaks fall into the same bins.

    Args:
        spectrum: (K, 1 + n_fft // 2) magnitudes
        sampling_rate: Hz, by which bins become frequencies
        n_chroma: pitch classes in an octave

    Returns:
        The deviation in pitch classes (semitones if 12), in [-0.5, 0.5), a multiple of 0.01; 0 without any.

    Source: librosa.estimate_tuning, librosa.piptrack, librosa.pitch_tuning

    """
    low, high = _pitch_range(spectrum.shape[1], sampling_rate)
    if low >= high:
        return 0.0
    pitch = pitches(spectrum, low=low, high=high, height=PEAK_HEIGHT, sampling_rate=sampling_rate)
    if not len(pitch):
        return 0.0
    # NumPy's logarithm, and not the C library's, so that it is librosa's on every processor.
    octaves = np.log2(pitch / np.float32(440.0 / 16))
    return float(EDGES[mode_of_deviations(octaves, n_chroma=n_chroma, edges=EDGES)])


@cache
def _pitch_range(bins: int, sampling_rate: int) -> tuple[int, int]:
    """Return the first bin in the range of pitches and the one after the last."""
    frequencies = np.fft.rfftfreq(2 * (bins - 1), 1 / sampling_rate)
    low, high = np.searchsorted(frequencies, (PITCH_MIN, min(PITCH_MAX, sampling_rate / 2)))
    return int(low), int(high)
