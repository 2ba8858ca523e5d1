"""The phase vocoder's spectra and the resampler of a pitch shift."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.library import address, checked, library, place
from ser_lightning.kernels.roots import roots

Floats = npt.NDArray[np.float32]

LANES = 8  # products that resample() sums at once


class Advances(NamedTuple):
    """Magnitudes and phases of K frames; numbers on the unit circle are a row of real and a row of imaginary parts.

    Args:
        magnitude: (K + 2, bins), the last two frames silent
        advance: (K + 1, 2, bins), by how much the phase of each bin advances to the next frame
        start: (2, bins), the phases of the first frame

    """

    magnitude: Floats
    advance: Floats
    start: Floats


def advances(frames: Floats, window: Floats) -> Advances:
    """Return the magnitudes and the phase advances of frames times a window.

    Args:
        frames: (K, n_fft), which may overlap; n_fft even
        window: (n_fft,)

    """
    count, n_fft = frames.shape
    bins = 1 + n_fft // 2
    half, whole = roots(n_fft // 2, np.float32), roots(n_fft, np.float32)
    magnitude, advance = np.empty((count + 2, bins), np.float32), np.empty((count + 1, 2, bins), np.float32)
    start = np.empty((2, bins), np.float32)
    done = library().advances(
        *(address(frames, np.float32), count, frames.strides[0] // frames.itemsize, n_fft),
        *(address(window, np.float32), half.address, whole.address),
        *(place(magnitude), place(advance), place(start)),
    )
    checked(done, magnitude)
    return Advances(magnitude, advance, start)


def stretched(of: Advances, window: Floats, *, rate: float, hop_length: int) -> tuple[Floats, Floats]:
    """Return the signal of K' = ceil(K / rate) frames, interpolated between those given, and its envelope.

    Args:
        of: the frames, and how their phases go on
        window: (n_fft,), put over every frame again
        rate: of the new tempo, above 1 if faster
        hop_length: from frame to frame, samples

    Returns:
        The sum of the frames, (n_fft + (K' - 1) * hop_length,); the sum of the squares of their windows, as long.

    """
    bins = of.magnitude.shape[1]
    n_fft, count = 2 * (bins - 1), math.ceil((len(of.magnitude) - 2) / rate)
    half, whole = roots(n_fft // 2, np.float32), roots(n_fft, np.float32)
    signal, envelope = np.zeros((2, n_fft + (count - 1) * hop_length), np.float32)
    done = library().stretch(
        *(address(of.magnitude, np.float32), address(of.advance, np.float32), address(of.start, np.float32)),
        *(count, rate, hop_length, n_fft),
        *(address(window, np.float32), half.address, whole.address, place(signal), place(envelope)),
    )
    return checked(done, signal), envelope


def filtered(wave: Floats, filters: Floats, *, step: int, every: int, samples: int) -> Floats:
    """Return a signal sampled at other places, by a filter for each place between two samples.

    Sample j of the result lies at ``j * step / every``. The filter of the two places around what of that is behind the
    point, each by how near it is, is put upon the samples from its whole part on.

    Args:
        wave: long enough for the last filter
        filters: (places + 1, taps), the first of a sample and the last of the next one; taps a multiple of 8
        step: as above
        every: as above
        samples: to be returned, at least 1

    """
    places, taps = len(filters) - 1, filters.shape[1]
    needed = (samples - 1) * step // every + taps
    if taps % LANES or len(wave) < needed:
        raise ValueError(f"expected taps by {LANES} and {needed} samples but got {taps} and {len(wave)}")
    out = np.empty(samples, np.float32)
    done = library().resample(
        *(address(wave, np.float32), samples, every, step),
        *(address(filters, np.float32), places, taps, place(out)),
    )
    return checked(done, out)
