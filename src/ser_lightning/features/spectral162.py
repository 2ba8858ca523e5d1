"""The 162 features of the study."""

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import reference, spectral
from ser_lightning.features.tuning import estimate_tuning
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend

# Powers of louder samples would overflow single precision.
LOUDEST = 1e15


class Spectral162:
    """Zero crossing rate, chroma, MFCC, RMS and mel power, as the study had them from librosa.

    The rows from the top: ``zcr``, ``chroma_01`` ..., ``mfcc_01`` ..., ``rms``, ``mel_001`` ...; with the
    study's 12, 20 and 128 that makes 162.

    Args:
        sampling_rate: of the waves given, Hz
        analysis_rate: to which they are resampled before anything is computed, Hz
        filterbank_rate: by which bins become frequencies, Hz; not ``analysis_rate`` only to repeat a defect
        n_fft: length of a frame, samples at the analysis rate; even
        hop_length: between frames, samples at the analysis rate
        window: its name in scipy.signal.get_window
        n_chroma: pitch classes
        n_mfcc: cepstral coefficients, at most ``n_mels``
        n_mels: mel bands
        log: mel power and RMS in dB above -100 dB, instead of as they are
        standardize: the model shall standardise these features; nothing is done about it here
        backend: ``native``, the C kernels; ``librosa``, the reference; or ``auto``, native where it can be used

    Raises:
        InputError: a value out of its range

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
        backend: str = AUTO,  # no scientific value, and older checkpoints do not name it
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
            spectral.window_of(window, n_fft)
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
        """Return the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, K) with K = 1 + n // hop_length, where n counts the samples at the analysis rate

        Raises:
            InputError: not a vector of float32, empty, or with samples that are not finite or absurdly loud

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
        window = spectral.window_of(self.window, self.n_fft)
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
    """Refuse what has no features.

    Raises:
        InputError: see :meth:`Spectral162.__call__`

    """
    if wave.dtype != np.float32 or wave.ndim != 1:
        raise InputError(f"expected a vector of float32 samples but got {wave.dtype} of shape {wave.shape}")
    if not wave.size:
        raise InputError("expected at least one sample but got an empty wave")
    peak = max(wave.max(), -wave.min())
    if not peak <= LOUDEST:  # nor is nan
        raise InputError(f"expected finite samples with full scale 1 but got a peak of {peak}")
