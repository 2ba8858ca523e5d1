"""The phase vocoder and the resampler of a pitch shift, in C."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.kernels.library import check_success, input_ptr, library, output_ptr
from ser_lightning.kernels.roots import roots

Floats = npt.NDArray[np.float32]

LANES = 8  # SIMD width of the C function resample()


class Advances(NamedTuple):
    """Magnitudes and phase advances of K frames.

    Phases are numbers on the unit circle, with a row of real parts and a row of imaginary parts.

    Args:
        magnitude: (K + 2, bins), with two silent frames at the end
        advance: (K + 1, 2, bins), the phase advance of each bin to the next frame
        start: (2, bins), the phases of the first frame

    """

    magnitude: Floats
    advance: Floats
    start: Floats


def advances(frames: Floats, window: Floats) -> Advances:
    """Compute the magnitudes and phase advances of windowed frames.

    Args:
        frames: (K, n_fft), may overlap in memory; n_fft must be even
        window: (n_fft,)

    """
    count, n_fft = frames.shape
    bins = 1 + n_fft // 2
    half_roots, all_roots = roots(n_fft // 2, np.float32), roots(n_fft, np.float32)
    magnitude, advance = np.empty((count + 2, bins), np.float32), np.empty((count + 1, 2, bins), np.float32)
    start = np.empty((2, bins), np.float32)
    status = library().advances(
        *(input_ptr(frames, np.float32), count, frames.strides[0] // frames.itemsize, n_fft),
        *(input_ptr(window, np.float32), half_roots.address, all_roots.address),
        *(output_ptr(magnitude), output_ptr(advance), output_ptr(start)),
    )
    check_success(status, magnitude)
    return Advances(magnitude, advance, start)


def stretch(analysis: Advances, window: Floats, *, rate: float, hop_length: int) -> tuple[Floats, Floats]:
    """Synthesize the signal at another tempo from K' = ceil(K / rate) interpolated frames.

    Args:
        analysis: the magnitudes and phase advances of the K frames
        window: (n_fft,), applied to each synthesized frame
        rate: tempo relative to the original, above 1 if faster
        hop_length: step between frames, samples

    Returns:
        The overlap-added frames, (n_fft + (K' - 1) * hop_length,); and the overlap-added squared windows, of the same
        shape.

    """
    bins = analysis.magnitude.shape[1]
    n_fft, count = 2 * (bins - 1), math.ceil((len(analysis.magnitude) - 2) / rate)
    half_roots, all_roots = roots(n_fft // 2, np.float32), roots(n_fft, np.float32)
    signal, envelope = np.zeros((2, n_fft + (count - 1) * hop_length), np.float32)
    status = library().stretch(
        *(
            input_ptr(analysis.magnitude, np.float32),
            input_ptr(analysis.advance, np.float32),
            input_ptr(analysis.start, np.float32),
        ),
        *(count, rate, hop_length, n_fft),
        *(
            input_ptr(window, np.float32),
            half_roots.address,
            all_roots.address,
            output_ptr(signal),
            output_ptr(envelope),
        ),
    )
    return check_success(status, signal), envelope


def resample_with_filters(wave: Floats, filters: Floats, *, step: int, every: int, samples: int) -> Floats:
    """Resample a signal with a table of filters for equally spaced positions between two samples.

    Sample j of the result is at the position ``j * step / every`` of the input. Its filter is interpolated linearly
    between the two table entries around the fractional part of the position, and applied to the samples from the
    integer part on.

    Args:
        wave: (n,), long enough for the last filter
        filters: (places + 1, taps), for the positions from one sample to the next, both included; taps a multiple of 8
        step: numerator of the distance between two samples of the result
        every: denominator of that distance
        samples: number of samples to return, at least 1

    Returns:
        (samples,)

    Raises:
        ValueError: the number of taps is not a multiple of 8, or ``wave`` is too short

    """
    places, taps = len(filters) - 1, filters.shape[1]
    needed = (samples - 1) * step // every + taps
    if taps % LANES or len(wave) < needed:
        raise ValueError(f"expected taps by {LANES} and {needed} samples but got {taps} and {len(wave)}")
    out = np.empty(samples, np.float32)
    status = library().resample(
        *(input_ptr(wave, np.float32), samples, every, step),
        *(input_ptr(filters, np.float32), places, taps, output_ptr(out)),
    )
    return check_success(status, out)
