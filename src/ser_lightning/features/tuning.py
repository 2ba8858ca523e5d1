"""The tuning of a recording: where its pitches lie between those of A440."""

import numpy as np
import numpy.typing as npt

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
    n_fft = 2 * (spectrum.shape[1] - 1)
    frequencies = np.fft.rfftfreq(n_fft, 1 / sampling_rate)
    low, high = np.searchsorted(frequencies, (PITCH_MIN, min(PITCH_MAX, sampling_rate / 2)))
    if low >= high:
        return 0.0
    here = spectrum[:, low:high]  # (K, pitch bins)
    threshold = np.float32(PEAK_HEIGHT) * spectrum.max(axis=1, keepdims=True)
    peak = here > threshold
    peak &= here > spectrum[:, low - 1 : high - 1]
    peak &= here >= spectrum[:, low + 1 : high + 1]
    where = np.flatnonzero(peak)  # (peaks,)
    if not len(where):
        return 0.0
    row, column = np.divmod(where, high - low)
    column += low

    # A parabola through each peak and its neighbours; numba widens librosa's to double after the first sum.
    at = row * spectrum.shape[1] + column
    flat = spectrum.ravel()
    left, height, right = flat[at - 1], flat[at], flat[at + 1]
    curvature = (right + left).astype(np.float64) - 2.0 * height.astype(np.float64)
    difference = right - left
    slope = difference.astype(np.float64) / 2
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.divide(-slope, curvature, out=np.zeros_like(slope), where=inside).astype(np.float32)
    strength = height + np.float32(0.5) * (difference / np.float32(2)) * shift

    pitch = ((column + shift) * float(sampling_rate) / n_fft).astype(np.float32)
    pitch = pitch[strength >= median(strength)]
    deviation = np.float32(n_chroma) * np.log2(pitch / np.float32(440.0 / 16))
    deviation -= np.floor(deviation)  # every pitch is above 27.5 Hz, so this is the remainder, exactly
    deviation[deviation >= 0.5] -= 1
    # The bins of np.histogram; no deviation reaches the last edge, the only one counted with the bin below.
    counts = np.diff(np.searchsorted(np.sort(deviation.astype(np.float64)), EDGES))
    return float(EDGES[np.argmax(counts)])


def median(values: Floats) -> np.float32:
    """Return the median of at least one value: np.median without its overhead."""
    middle = (len(values) - 1) // 2, len(values) // 2
    lower, upper = np.partition(values, middle)[list(middle)]
    return np.float32((lower + upper) / np.float32(2))
