"""Windows and filterbanks that equal those of scipy and librosa bit for bit.

They are reimplemented here because importing the two libraries takes longer than everything else that ``ser-predict``
does. The tests compare each value with theirs.
"""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 1 - 0.54), "blackman": (0.42, 0.5, 0.08)}

# Slaney's mel scale: linear below 1 kHz, logarithmic above.
MEL_STEP = 200.0 / 3  # Hz per mel below the break
BREAK = 1000.0  # Hz
LOG_STEP = np.log(6.4) / 27.0  # step of the log frequency per mel above the break

# Center of the octave weight of chroma, in octaves above A0, and its width in octaves.
CENTER_OCTAVE, OCTAVE_WIDTH = 5.0, 2.0


def window(name: str, n_fft: int) -> Doubles:
    """Return the periodic window of the given name, (n_fft,).

    Raises:
        ValueError: the name is unknown

    Source: scipy.signal.get_window

    """
    if name not in COSINES:
        from scipy.signal import get_window

        rare: Doubles = get_window(name, n_fft, fftbins=True)
        return rare
    phase = np.linspace(-np.pi, np.pi, n_fft + 1)
    total = np.zeros(n_fft + 1)
    for k, weight in enumerate(COSINES[name]):
        total += weight * np.cos(k * phase)
    return total[:-1] if n_fft > 1 else np.ones(1)


def chroma(*, sampling_rate: int, n_fft: int, n_chroma: int, tuning: float) -> npt.NDArray[np.float32]:
    """Return the chroma filters, the weight of each frequency bin in each pitch class from C upward.

    A weight is a Gaussian around the pitch class, with unit norm in each bin, times a Gaussian of the octave.

    Args:
        sampling_rate: Hz
        n_fft: length of a frame, samples
        n_chroma: number of pitch classes per octave
        tuning: deviation of the recording from A440, in pitch classes

    Returns:
        (n_chroma, 1 + n_fft // 2)

    Source: librosa.filters.chroma; Ellis 2007, chroma feature analysis and synthesis

    """
    # librosa computes n_fft bins and keeps those up to half the rate; the width of the last one needs its successor.
    frequency = np.linspace(0, sampling_rate, n_fft, endpoint=False)[1 : n_fft // 2 + 2]
    a0 = 440.0 * 2.0 ** (tuning / n_chroma) / 16
    pitch = n_chroma * np.log2(frequency / a0)  # pitch classes above A0
    pitch = np.concatenate(([pitch[0] - 1.5 * n_chroma], pitch))  # bin 0 is placed 1.5 octaves below bin 1
    width = np.concatenate((np.maximum(np.diff(pitch), 1.0), [1]))
    half = np.round(float(n_chroma) / 2)
    distance = (pitch - np.arange(n_chroma)[:, None] + half + 10 * n_chroma) % n_chroma - half
    weights = np.exp(-0.5 * (2 * distance / width) ** 2)
    weights /= np.sum(weights**2, axis=0) ** 0.5
    weights *= np.exp(-0.5 * ((pitch / n_chroma - CENTER_OCTAVE) / OCTAVE_WIDTH) ** 2)
    from_c = np.roll(weights, -3 * (n_chroma // 12), axis=0)
    return np.ascontiguousarray(from_c[:, : 1 + n_fft // 2], np.float32)


def mel_edges(*, sampling_rate: int, n_mels: int) -> Doubles:
    """Return the corners of the triangular mel filters, equally spaced in mel, Hz, (n_mels + 2,).

    Source: librosa.mel_frequencies(htk=False)
    """
    top = sampling_rate / 2
    highest = top / MEL_STEP if top < BREAK else BREAK / MEL_STEP + np.log(top / BREAK) / LOG_STEP
    mels = np.linspace(0, highest, n_mels + 2)
    edges = MEL_STEP * mels  # Hz
    above = mels >= BREAK / MEL_STEP
    edges[above] = BREAK * np.exp(LOG_STEP * (mels[above] - BREAK / MEL_STEP))
    return edges


def mel(*, sampling_rate: int, n_fft: int, n_mels: int) -> npt.NDArray[np.float32]:
    """Return the triangular mel filters with unit area, (n_mels, 1 + n_fft // 2).

    Source: librosa.filters.mel(htk=False, norm="slaney"); Slaney 1998, Auditory Toolbox
    """
    edges = mel_edges(sampling_rate=sampling_rate, n_mels=n_mels)
    slopes = edges[:, None] - np.fft.rfftfreq(n_fft, 1 / sampling_rate)  # (n_mels + 2, bins)
    widths = np.diff(edges)[:, None]
    triangles = np.maximum(0, np.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:])).astype(np.float32)
    triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return triangles
