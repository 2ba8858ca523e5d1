"""Spectra of frames, and what is read off them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.library import address, checked, library, place
from ser_lightning.kernels.roots import roots

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex64]

LANES = 8  # products that bands() sums at once


def spectra(frames: Floats, window: Doubles) -> Complexes:
    """Return the Fourier transform of each frame times the window, computed in double precision.

    Args:
        frames: (K, n_fft), which may overlap; n_fft even
        window: (n_fft,)

    Returns:
        (K, 1 + n_fft // 2)

    Raises:
        ValueError: frames of an odd length, or a window of another

    """
    count, n_fft = frames.shape
    if n_fft < 2 or n_fft % 2 or window.shape != (n_fft,):  # else C would read beyond them, or compute nonsense
        raise ValueError(f"expected frames of an even length and a window of the same, got {n_fft} and {window.shape}")
    out = np.empty((count, 1 + n_fft // 2), np.complex64)
    half, whole = roots(n_fft // 2, np.float64), roots(n_fft, np.float64)
    done = library().spectra(
        *(address(frames, np.float32), count, _step(frames), n_fft),
        *(address(window, np.float64), half.address, whole.address, place(out)),
    )
    return checked(done, out)


def energies(frames: Floats) -> Floats:
    """Return the sum of the squares of each frame: (K, n), which may overlap, -> (K,)."""
    count, n_fft = frames.shape
    out = np.empty(count, np.float32)
    done = library().energies(address(frames, np.float32), count, _step(frames), n_fft, place(out))
    return checked(done, out)


def crossings(wave: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """Return the changes of sign in each frame, by its length; see ``features.spectral.zero_crossing_rate``.

    Args:
        wave: (samples,)
        n_fft: length of a frame, samples
        hop_length: between frames, samples

    Returns:
        (K,) with K = 1 + samples // hop_length

    """
    count = 1 + len(wave) // hop_length
    out = np.empty(count, np.float32)
    done = library().crossings(address(wave, np.float32), len(wave), count, hop_length, n_fft, place(out))
    return checked(done, out)


class Bands(NamedTuple):
    """Filters over neighbouring bins.

    Args:
        first: (filters,), the first bin that each touches
        width: (filters,), how many bins
        weights: (all their bins,), filter by filter
        addresses: of the three
        reach: bins that a spectrum must have

    """

    first: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]
    weights: Floats
    addresses: tuple[int, int, int]
    reach: int


def bands_of(bank: Floats) -> Bands:
    """Leave out the zeros on both sides of each filter, (filters, bins), but for those that fill up a vector."""
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
    """Return the sum of what each filter lets through: (K, bins) -> (K, filters)."""
    power = np.ascontiguousarray(power)
    count, bins = power.shape
    if bins < bands.reach:
        raise ValueError(f"the filters reach beyond the {bins} bins")
    out = np.empty((count, len(bands.first)), np.float32)
    done = library().bands(*(address(power, np.float32), count, bins, *bands.addresses, len(bands.first), place(out)))
    return checked(done, out)


def pitches(spectrum: Floats, *, low: int, high: int, height: float, sampling_rate: int) -> Floats:
    """Return the pitches of the peaks that are at least as strong as half of them.

    A parabola through a peak and its neighbours gives its pitch and its strength. Every operation is librosa's in
    librosa's precision.

    Args:
        spectrum: (K, bins) magnitudes
        low: first bin that may be a peak, at least 1
        high: the bin after the last one, less than ``bins``
        height: of a peak at the least, as a part of the highest bin of its frame
        sampling_rate: Hz

    Returns:
        (pitches,), Hz, frame by frame

    Source: librosa.piptrack, librosa.estimate_tuning

    """
    spectrum = np.ascontiguousarray(spectrum)
    count, bins = spectrum.shape
    if not 1 <= low <= high < bins:
        raise ValueError(f"expected 1 <= low <= high < {bins} but got {low} and {high}")
    pitch = np.empty(count * (1 + (high - low) // 2), np.float32)  # neighbours cannot both be peaks
    found: int = library().peaks(
        *(address(spectrum, np.float32), count, bins, low, high, height, sampling_rate, 2 * (bins - 1)),
        place(pitch),
    )
    return checked(found < 0, pitch)[:found]


def mode_of_deviations(octaves: Floats, *, n_chroma: int, edges: Doubles) -> int:
    """Return in which bin most pitches lie, by how far each is from the nearest pitch class.

    Args:
        octaves: (pitches,), above one that has no deviation
        n_chroma: pitch classes in an octave
        edges: (bins + 1,), of the deviations, from -0.5 to 0.5

    Source: librosa.pitch_tuning

    """
    best: int = library().mode(
        address(octaves, np.float32), len(octaves), n_chroma, address(edges, np.float64), len(edges) - 1
    )
    checked(best < 0, octaves)
    return best


def _step(frames: Floats) -> int:
    """Return the samples from a frame to the next."""
    return frames.strides[0] // frames.itemsize
