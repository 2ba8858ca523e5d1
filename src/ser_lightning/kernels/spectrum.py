"""Spectra, energies, mel bands and pitch peaks of frames, in C."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.library import check_success, input_ptr, library, output_ptr
from ser_lightning.kernels.roots import roots

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex64]

LANES = 8  # SIMD width of the C function bands()


def spectra(frames: Floats, window: Doubles) -> Complexes:
    """Compute the Fourier transform of each windowed frame in double precision.

    Args:
        frames: (K, n_fft), may overlap in memory; n_fft must be even
        window: (n_fft,)

    Returns:
        (K, 1 + n_fft // 2)

    Raises:
        ValueError: n_fft is odd or 0, or the window has another length

    """
    count, n_fft = frames.shape
    if n_fft < 2 or n_fft % 2 or window.shape != (n_fft,):  # else C would read out of bounds or compute nonsense
        raise ValueError(f"expected frames of an even length and a window of the same, got {n_fft} and {window.shape}")
    out = np.empty((count, 1 + n_fft // 2), np.complex64)
    half_roots, all_roots = roots(n_fft // 2, np.float64), roots(n_fft, np.float64)
    status = library().spectra(
        *(input_ptr(frames, np.float32), count, _step(frames), n_fft),
        *(input_ptr(window, np.float64), half_roots.address, all_roots.address, output_ptr(out)),
    )
    return check_success(status, out)


def energies(frames: Floats) -> Floats:
    """Compute the sum of squares of each frame, (K, n) -> (K,); the frames may overlap in memory."""
    count, n_fft = frames.shape
    out = np.empty(count, np.float32)
    status = library().energies(input_ptr(frames, np.float32), count, _step(frames), n_fft, output_ptr(out))
    return check_success(status, out)


def zero_crossing_rate(wave: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """Compute the fraction of the samples of each frame at which the sign changes.

    Args:
        wave: (samples,)
        n_fft: length of a frame, samples
        hop_length: step between frames, samples

    Returns:
        (K,) with K = 1 + samples // hop_length

    Source: librosa.feature.zero_crossing_rate

    """
    count = 1 + len(wave) // hop_length
    out = np.empty(count, np.float32)
    status = library().crossings(input_ptr(wave, np.float32), len(wave), count, hop_length, n_fft, output_ptr(out))
    return check_success(status, out)


class Bands(NamedTuple):
    """Filters over contiguous frequency bins, without their zeros.

    Args:
        first: (filters,), first bin of each filter
        width: (filters,), number of bins of each filter
        weights: weights of all filters, concatenated
        addresses: addresses of the three arrays
        reach: minimum number of bins of a spectrum

    """

    first: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]
    weights: Floats
    addresses: tuple[int, int, int]
    reach: int


def sparse_bands(bank: Floats) -> Bands:
    """Strip the zeros on both sides of each filter, (filters, bins), except those that pad it to the SIMD width."""
    touched = bank != 0
    touched[:, 0] |= ~touched.any(axis=1)
    first = touched.argmax(axis=1)
    end = bank.shape[1] - touched[:, ::-1].argmax(axis=1)
    width = np.minimum(-(-(end - first) // LANES) * LANES, bank.shape[1])
    first = np.minimum(first, bank.shape[1] - width)
    weights = np.concatenate([row[a : a + n] for row, a, n in zip(bank, first, width, strict=True)])
    addresses = (first.ctypes.data, width.ctypes.data, weights.ctypes.data)
    return Bands(first, width, weights, addresses, int((first + width).max()))


def band_sums(power: Floats, bands: Bands) -> Floats:
    """Compute the weighted sum of the bins of each filter, (K, bins) -> (K, filters).

    Raises:
        ValueError: a filter needs more bins than the spectrum has

    """
    power = np.ascontiguousarray(power)
    count, bins = power.shape
    if bins < bands.reach:
        raise ValueError(f"the filters reach beyond the {bins} bins")
    out = np.empty((count, len(bands.first)), np.float32)
    status = library().bands(
        *(input_ptr(power, np.float32), count, bins, *bands.addresses, len(bands.first), output_ptr(out))
    )
    return check_success(status, out)


def pitches(spectrum: Floats, *, low: int, high: int, height: float, sampling_rate: int) -> Floats:
    """Return the pitches of the spectral peaks that are at least as strong as the median peak.

    The pitch and strength of a peak come from a parabola through it and its neighbors. All operations have the
    precision that they have in librosa.

    Args:
        spectrum: (K, bins) magnitudes
        low: first bin that may be a peak, at least 1
        high: one past the last bin that may be a peak, less than ``bins``
        height: minimum height of a peak relative to the maximum of its frame
        sampling_rate: Hz

    Returns:
        (pitches,), Hz, frame by frame

    Source: librosa.piptrack, librosa.estimate_tuning

    """
    spectrum = np.ascontiguousarray(spectrum)
    count, bins = spectrum.shape
    if not 1 <= low <= high < bins:
        raise ValueError(f"expected 1 <= low <= high < {bins} but got {low} and {high}")
    pitch = np.empty(count * (1 + (high - low) // 2), np.float32)  # neighbors cannot both be peaks
    peak_count: int = library().peaks(
        *(input_ptr(spectrum, np.float32), count, bins, low, high, height, sampling_rate, 2 * (bins - 1)),
        output_ptr(pitch),
    )
    return check_success(peak_count < 0, pitch)[:peak_count]


def mode_of_deviations(octaves: Floats, *, n_chroma: int, edges: Doubles) -> int:
    """Return the most frequent bin in the histogram of deviations from the nearest pitch class.

    Args:
        octaves: (pitches,), in octaves above a pitch without deviation
        n_chroma: number of pitch classes per octave
        edges: (bins + 1,), edges of the bins, from -0.5 to 0.5 pitch classes

    Source: librosa.pitch_tuning

    """
    best: int = library().mode(
        input_ptr(octaves, np.float32), len(octaves), n_chroma, input_ptr(edges, np.float64), len(edges) - 1
    )
    check_success(best < 0, octaves)
    return best


def _step(frames: Floats) -> int:
    """Return the step between two frames in samples."""
    return frames.strides[0] // frames.itemsize
