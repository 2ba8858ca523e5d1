"""The 162 features of the study."""

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import reference, spectral
from ser_lightning.features.tuning import estimate_tuning
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend

# The power of larger samples would overflow single precision.
LOUDEST = 1e15


class Spectral162:
    """Zero crossing rate, chroma, MFCC, RMS and mel power, as the study computed them with librosa.

    The rows are ``zcr``, ``chroma_01`` ..., ``mfcc_01`` ..., ``rms``, ``mel_001`` ..., from the top. With the study's
    12 pitch classes, 20 coefficients and 128 mel bands there are 162.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        filterbank_rate: rate from which the frequencies of the bins are computed, Hz; it differs from ``analysis_rate``
            only to reproduce a bug of the study
        n_fft: length of a frame, samples at the analysis rate; even
        hop_length: step between frames, samples at the analysis rate
        window: name of the window in scipy.signal.get_window
        n_chroma: number of pitch classes
        n_mfcc: number of cepstral coefficients, at most ``n_mels``
        n_mels: number of mel bands
        log: whether mel power and RMS are in dB, with a floor of -100 dB, instead of linear
        standardize: whether the model should standardize these features; not applied here
        backend: ``native`` for the C kernels, ``librosa`` for the reference, ``auto`` for native where available

    Raises:
        InputError: a value is out of range

    """

    def __init__(
        self,
        *,
        sampling_rate: int,
        analysis_rate: int,
        filterbank_rate: int,
        n_fft: int,
        hop_length: int,
        window: str,
        n_chroma: int,
        n_mfcc: int,
        n_mels: int,
        log: bool,
        standardize: bool,
        backend: str = AUTO,  # not a scientific setting, and older checkpoints lack it
    ) -> None:
        positive = {
            "sampling_rate": sampling_rate,
            "analysis_rate": analysis_rate,
            "filterbank_rate": filterbank_rate,
            "n_fft": n_fft,
            "hop_length": hop_length,
            "n_chroma": n_chroma,
            "n_mfcc": n_mfcc,
            "n_mels": n_mels,
        }
        for name, value in positive.items():
            if value < 1:
                raise InputError(f"features.{name} is {value}; expected a positive whole number")
        if n_fft % 2:
            raise InputError(f"features.n_fft is {n_fft}; expected an even number")
        if n_mfcc > n_mels:
            raise InputError(f"features.n_mfcc is {n_mfcc}; expected at most features.n_mels, {n_mels}")
        try:
            spectral.periodic_window(window, n_fft)
        except ValueError as error:
            raise InputError(f"features.window is {window!r}; expected a name of scipy.signal.get_window") from error
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.filterbank_rate = filterbank_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.window = window
        self.n_chroma = n_chroma
        self.n_mfcc = n_mfcc
        self.n_mels = n_mels
        self.log = log
        self.standardize = standardize
        self.backend = resolve_backend(backend, reference="librosa", key="features.backend")
        self.names = (
            "zcr",
            *(f"chroma_{i:02d}" for i in range(1, n_chroma + 1)),
            *(f"mfcc_{i:02d}" for i in range(1, n_mfcc + 1)),
            "rms",
            *(f"mel_{i:03d}" for i in range(1, n_mels + 1)),
        )
        self.size = len(self.names)

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, K) with K = 1 + n // hop_length, where n is the number of samples at the analysis rate

        Raises:
            InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

        """
        check_wave(wave)
        wave = spectral.resample(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        if self.backend != NATIVE:
            return reference.spectral162(
                wave,
                sampling_rate=self.filterbank_rate,
                n_fft=self.n_fft,
                hop_length=self.hop_length,
                window=self.window,
                n_chroma=self.n_chroma,
                n_mfcc=self.n_mfcc,
                n_mels=self.n_mels,
                log=self.log,
            )
        window = spectral.periodic_window(self.window, self.n_fft)
        frames = spectral.frame(wave, n_fft=self.n_fft, hop_length=self.hop_length)  # -> (K, n_fft)
        spectrum = spectral.magnitude(frames, window)  # (K, n_fft) -> (K, 1 + n_fft // 2)
        tuning = estimate_tuning(spectrum, sampling_rate=self.filterbank_rate, n_chroma=self.n_chroma)
        pitches = spectral.chroma_bank(
            sampling_rate=self.filterbank_rate, n_fft=self.n_fft, n_chroma=self.n_chroma, tuning=tuning
        )
        bands = spectral.mel_bank(sampling_rate=self.filterbank_rate, n_fft=self.n_fft, n_mels=self.n_mels)
        mel = spectral.mel_power(np.square(spectrum), bands)  # (n_mels, K)
        mel_db = spectral.decibels(mel)
        rms = spectral.root_mean_square(frames)
        features = np.empty((len(frames), self.size), np.float32).T  # (F, K)
        features[0] = spectral.zero_crossing_rate(wave, n_fft=self.n_fft, hop_length=self.hop_length)
        top = 1 + self.n_chroma
        features[1:top] = spectral.chroma(spectrum, pitches)
        features[top : top + self.n_mfcc] = spectral.mfcc(mel_db, n_mfcc=self.n_mfcc)
        top += self.n_mfcc
        features[top] = spectral.decibels(np.square(rms)) if self.log else rms
        features[top + 1 :] = mel_db if self.log else mel
        return features


def check_wave(wave: npt.NDArray[np.float32]) -> None:
    """Check that a wave is one from which features can be computed.

    Raises:
        InputError: see :meth:`Spectral162.__call__`

    """
    if wave.dtype != np.float32 or wave.ndim != 1:
        raise InputError(f"expected a vector of float32 samples but got {wave.dtype} of shape {wave.shape}")
    if not wave.size:
        raise InputError("expected at least one sample but got an empty wave")
    peak = max(wave.max(), -wave.min())
    if not peak <= LOUDEST:  # this form is also true for NaN
        raise InputError(f"expected finite samples with full scale 1 but got a peak of {peak}")
