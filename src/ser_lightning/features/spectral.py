"""The spectral features of librosa 0.11, from one shared short-time Fourier transform.

Every function gives what the librosa function named in its ``Source`` gives, with librosa's own defaults, and
repeats no work: matrices are time-major, so that a frame is contiguous, and filterbanks are built once.
"""

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import soxr

from ser_lightning.features import filterbanks
from ser_lightning.kernels import spectrum as kernels

Floats = npt.NDArray[np.float32]

# Frames transformed at once: few enough for their spectra to stay in the cache.
BLOCK = 32
# The floor of a power and the dynamic range of the MFCC: librosa.power_to_db.
POWER_FLOOR = np.float32(1e-10)
TOP_DB = np.float32(80.0)


def resample(wave: Floats, *, sampling_rate: int, analysis_rate: int) -> Floats:
    """Resample as a file is resampled when it is loaded.

    Args:
        wave: (samples,)
        sampling_rate: of ``wave``, Hz
        analysis_rate: of the result, Hz

    Returns:
        (samples',) with samples' = ceil(samples * analysis_rate / sampling_rate)

    Source: librosa.resample(res_type="soxr_hq")

    """
    if sampling_rate == analysis_rate:
        return wave
    # In this order of operations: it decides how products that are nearly whole are rounded.
    samples = int(np.ceil(len(wave) * (float(analysis_rate) / sampling_rate)))
    resampled: Floats = soxr.resample(wave, sampling_rate, analysis_rate, quality="HQ")[:samples]
    return np.pad(resampled, (0, samples - len(resampled)))  # (samples,) -> (samples',)


def frame(wave: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """View the frames centred on every ``hop_length``-th sample, zeros beyond the ends.

    Args:
        wave: (samples,)
        n_fft: length of a frame, samples
        hop_length: between frames, samples

    Returns:
        (K, n_fft), a view whose rows overlap, with K = 1 + samples // hop_length

    Source: librosa.util.frame, as librosa.stft and librosa.feature.rms pad

    """
    padded = np.zeros(len(wave) + n_fft, np.float32)  # (samples,) -> (samples + n_fft,)
    padded[n_fft // 2 : n_fft // 2 + len(wave)] = wave
    step = padded.itemsize
    # The constructor checks the bounds as as_strided does not, and costs less than sliding_window_view.
    return np.ndarray((1 + len(wave) // hop_length, n_fft), np.float32, padded, strides=(hop_length * step, step))


@lru_cache
def window_of(name: str, n_fft: int) -> npt.NDArray[np.float64]:
    """Return the periodic window of that name, (n_fft,).

    Source: librosa.filters.get_window
    """
    return filterbanks.window(name, n_fft)


def magnitude(frames: Floats, window: npt.NDArray[np.float64]) -> Floats:
    """Return the magnitude spectrum of each frame.

    Args:
        frames: (K, n_fft)
        window: (n_fft,)

    Returns:
        (K, 1 + n_fft // 2)

    Source: abs(librosa.stft), transposed

    """
    result = np.empty((len(frames), 1 + frames.shape[1] // 2), np.float32)
    for start in range(0, len(frames), BLOCK):
        block = slice(start, start + BLOCK)
        # Windowed and transformed in double precision, then rounded, and NumPy's magnitude: as librosa does, hence
        # the same tuning. Single precision would be faster, and now and then finds another tuning.
        np.abs(kernels.spectra(frames[block], window), out=result[block])
    return result


def zero_crossing_rate(wave: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """Return the fraction of the samples of each frame where the sign changes.

    Args:
        wave: (samples,)
        n_fft: length of a frame, samples
        hop_length: between frames, samples

    Returns:
        (K,)

    Source: librosa.feature.zero_crossing_rate

    """
    return kernels.crossings(wave, n_fft=n_fft, hop_length=hop_length)


def root_mean_square(frames: Floats) -> Floats:
    """Return the root mean square of each frame: (K, n_fft) -> (K,).

    Source: librosa.feature.rms
    """
    energy = kernels.energies(frames)
    energy /= np.float32(frames.shape[1])
    return np.sqrt(energy, out=energy)


@cache
def chroma_bank(*, sampling_rate: int, n_fft: int, n_chroma: int, tuning: float) -> Floats:
    """Return the filters of the pitch classes, (n_chroma, 1 + n_fft // 2).

    All tunings of a corpus are kept: there are a hundred, of 50 kB.

    Source: librosa.filters.chroma
    """
    bank = filterbanks.chroma(sampling_rate=sampling_rate, n_fft=n_fft, n_chroma=n_chroma, tuning=tuning)
    bank.setflags(write=False)  # it is shared
    return bank


def chroma(spectrum: Floats, bank: Floats) -> Floats:
    """Return the strength of the pitch classes, the strongest of each frame being 1.

    Args:
        spectrum: (K, 1 + n_fft // 2) magnitudes
        bank: (n_chroma, 1 + n_fft // 2)

    Returns:
        (n_chroma, K); silent frames stay 0

    Source: librosa.feature.chroma_stft, librosa.util.normalize

    """
    strength: Floats = bank @ spectrum.T  # (K, bins) -> (n_chroma, K)
    strongest = strength.max(axis=0)
    strongest[strongest < np.finfo(np.float32).tiny] = 1
    strength /= strongest
    return strength


@lru_cache
def mel_bank(*, sampling_rate: int, n_fft: int, n_mels: int) -> kernels.Bands:
    """Return the mel filters without their zeros.

    Source: librosa.filters.mel
    """
    return kernels.bands_of(filterbanks.mel(sampling_rate=sampling_rate, n_fft=n_fft, n_mels=n_mels))


def mel_power(power: Floats, bands: kernels.Bands) -> Floats:
    """Return the power in each mel band: (K, 1 + n_fft // 2) -> (n_mels, K), a frame contiguous.

    Source: librosa.feature.melspectrogram
    """
    return kernels.band_sums(power, bands).T


def decibels(power: Floats) -> Floats:
    """Return a power in dB, above -100 dB, whatever the loudest.

    Source: librosa.power_to_db(ref=1, amin=1e-10, top_db=None)
    """
    # The natural logarithm is the vectorised one.
    level: Floats = np.log(np.maximum(power, POWER_FLOOR))
    level *= np.float32(10 / np.log(10))
    return level


@lru_cache
def cosines(n_mfcc: int, n_mels: int) -> Floats:
    """Return the first rows of the orthonormal discrete cosine transform, (n_mfcc, n_mels).

    Source: scipy.fft.dct(type=2, norm="ortho")
    """
    phase = np.outer(np.arange(n_mfcc), np.arange(n_mels) + 0.5) * (np.pi / n_mels)
    transform = np.cos(phase) * np.sqrt(2 / n_mels)
    transform[0] = np.sqrt(1 / n_mels)
    rounded: Floats = transform.astype(np.float32)
    return rounded


def mfcc(mel_db: Floats, *, n_mfcc: int) -> Floats:
    """Return the mel-frequency cepstral coefficients: (n_mels, K) -> (n_mfcc, K).

    Bands further than 80 dB below the loudest of the clip are raised to there.

    Source: librosa.feature.mfcc
    """
    coefficients: Floats = cosines(n_mfcc, len(mel_db)) @ np.maximum(mel_db, mel_db.max() - TOP_DB)
    return coefficients
