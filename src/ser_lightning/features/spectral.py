"""The spectral features of librosa 0.11, computed from one shared short-time Fourier transform.

Every function returns what the librosa function named as its ``Source`` returns with librosa's default settings,
transposed to (time, feature) order. Filterbanks are built only once.
"""

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import soxr

from ser_lightning.features import filterbanks
from ser_lightning.kernels import spectrum as kernels

Floats = npt.NDArray[np.float32]

# Floor of the power and dynamic range of the MFCC, from librosa.power_to_db.
POWER_FLOOR = np.float32(1e-10)
TOP_DB = np.float32(80.0)


def resample(wave: Floats, *, sampling_rate: int, analysis_rate: int) -> Floats:
    """Resample a wave.

    Args:
        wave: (samples,)
        sampling_rate: rate of ``wave``, Hz
        analysis_rate: rate of the result, Hz

    Returns:
        (samples',) with samples' = ceil(samples * analysis_rate / sampling_rate)

    Source: librosa.resample(res_type="soxr_hq")

    """
    if sampling_rate == analysis_rate:
        return wave
    # The order of operations matters: it decides how products close to an integer are rounded.
    samples = int(np.ceil(len(wave) * (float(analysis_rate) / sampling_rate)))
    resampled: Floats = soxr.resample(wave, sampling_rate, analysis_rate, quality="HQ")[:samples]
    return np.pad(resampled, (0, samples - len(resampled)))  # (samples,) -> (samples',)


def root_mean_square(frames: Floats) -> Floats:
    """Compute the root mean square of each frame, (K, n_fft) -> (K,).

    Source: librosa.feature.rms
    """
    energy = kernels.energies(frames)
    energy /= np.float32(frames.shape[1])
    return np.sqrt(energy, out=energy)


@cache
def chroma_bank(*, sampling_rate: int, n_fft: int, n_chroma: int, tuning: float) -> Floats:
    """Return the chroma filters, (n_chroma, 1 + n_fft // 2).

    The cache is unbounded, as there are only a hundred tunings of 50 kB each.

    Source: librosa.filters.chroma
    """
    bank = filterbanks.chroma(sampling_rate=sampling_rate, n_fft=n_fft, n_chroma=n_chroma, tuning=tuning)
    bank.setflags(write=False)  # it is cached and shared
    return bank


def chroma(spectrum: Floats, bank: Floats) -> Floats:
    """Compute the strength of the pitch classes, normalized to a maximum of 1 in each frame.

    Args:
        spectrum: (K, 1 + n_fft // 2) magnitudes
        bank: (n_chroma, 1 + n_fft // 2)

    Returns:
        (K, n_chroma); silent frames stay 0

    Source: librosa.feature.chroma_stft, librosa.util.normalize

    """
    strength: Floats = spectrum @ bank.T
    strongest = strength.max(axis=1, keepdims=True)
    strongest[strongest < np.finfo(np.float32).tiny] = 1
    strength /= strongest
    return strength


@lru_cache
def mel_bank(*, sampling_rate: int, n_fft: int, n_mels: int) -> kernels.Bands:
    """Return the mel filters in sparse form, without their outer zeros.

    Source: librosa.filters.mel
    """
    return kernels.sparse_bands(filterbanks.mel(sampling_rate=sampling_rate, n_fft=n_fft, n_mels=n_mels))


def mel_power(power: Floats, bands: kernels.Bands) -> Floats:
    """Compute the power in each mel band, (K, 1 + n_fft // 2) -> (K, n_mels).

    Source: librosa.feature.melspectrogram
    """
    return kernels.band_sums(power, bands)


def decibels(power: Floats) -> Floats:
    """Convert power to dB with an absolute floor of -100 dB and no limit of the dynamic range.

    Source: librosa.power_to_db(ref=1, amin=1e-10, top_db=None)
    """
    # NumPy vectorizes the natural logarithm.
    level: Floats = np.log(np.maximum(power, POWER_FLOOR))
    level *= np.float32(10 / np.log(10))
    return level


@lru_cache
def cosines(n_mfcc: int, n_mels: int) -> Floats:
    """Return the first rows of the matrix of the orthonormal discrete cosine transform, (n_mfcc, n_mels).

    Source: scipy.fft.dct(type=2, norm="ortho")
    """
    phase = np.outer(np.arange(n_mfcc), np.arange(n_mels) + 0.5) * (np.pi / n_mels)
    transform = np.cos(phase) * np.sqrt(2 / n_mels)
    transform[0] = np.sqrt(1 / n_mels)
    rounded: Floats = transform.astype(np.float32)
    return rounded


def mfcc(mel_db: Floats, *, n_mfcc: int) -> Floats:
    """Compute the mel-frequency cepstral coefficients, (K, n_mels) -> (K, n_mfcc).

    Levels more than 80 dB below the maximum of the clip are raised to that floor.

    Source: librosa.feature.mfcc
    """
    coefficients: Floats = np.maximum(mel_db, mel_db.max() - TOP_DB) @ cosines(n_mfcc, mel_db.shape[1]).T
    return coefficients
