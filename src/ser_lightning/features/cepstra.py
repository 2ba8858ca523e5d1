"""Mel-frequency cepstral coefficients (MFCC), optionally with chroma."""

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import reference, spectral
from ser_lightning.features.spectral import Floats
from ser_lightning.features.spectral162 import check_wave
from ser_lightning.features.tuning import estimate_tuning
from ser_lightning.features.values import check_at_most, check_counts, check_frames
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend


class Cepstra:
    """MFCC and chroma as librosa computes them from a waveform.

    The rows are ``mfcc_01`` ..., ``chroma_01`` ..., from the top. Chroma and its tuning are computed from the power
    spectrum, as by ``chroma_stft(y=...)``. The 162 features of the study differ in this: there, librosa gets a
    magnitude spectrum.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        n_fft: length of a frame, samples at the analysis rate; even
        hop_length: step between frames, samples at the analysis rate
        window: name of the window in scipy.signal.get_window
        n_mfcc: number of cepstral coefficients, at most ``n_mels``
        n_mels: number of mel bands
        n_chroma: number of pitch classes; 0 leaves chroma out
        signal_length: length to which a clip is zero-padded or cut first, equally on both sides, in samples at the
            analysis rate; None keeps its length
        standardize: whether the model should standardize these features; not applied here
        backend: ``native`` for the C kernels, ``librosa`` for the reference, ``auto`` for native where available

    Raises:
        InputError: a value is out of range

    Source: librosa.feature.mfcc, librosa.feature.chroma_stft

    """

    def __init__(
        self,
        *,
        sampling_rate: int,
        analysis_rate: int,
        n_fft: int,
        hop_length: int,
        window: str,
        n_mfcc: int,
        n_mels: int,
        n_chroma: int,
        signal_length: int | None,
        standardize: bool,
        backend: str = AUTO,
    ) -> None:
        check_counts(sampling_rate=sampling_rate, analysis_rate=analysis_rate, n_mfcc=n_mfcc, n_mels=n_mels)
        check_frames(n_fft=n_fft, hop_length=hop_length, window=window)
        check_at_most("n_mels", n_mels, n_mfcc=n_mfcc)
        if n_chroma < 0:
            raise InputError(f"features.n_chroma is {n_chroma}; expected a positive whole number, or 0 for none")
        if signal_length is not None:
            check_counts(signal_length=signal_length)
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.window = window
        self.n_mfcc = n_mfcc
        self.n_mels = n_mels
        self.n_chroma = n_chroma
        self.signal_length = signal_length
        self.standardize = standardize
        self.backend = resolve_backend(backend, reference="librosa", key="features.backend")
        self.names = (
            *(f"mfcc_{i:02d}" for i in range(1, n_mfcc + 1)),
            *(f"chroma_{i:02d}" for i in range(1, n_chroma + 1)),
        )
        self.size = len(self.names)

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, K) with K = 1 + n // hop_length, where n is ``signal_length``, or if that is None the number of
            samples at the analysis rate

        Raises:
            InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

        """
        check_wave(wave)
        wave = spectral.resample(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        if self.signal_length is not None:
            wave = fit(wave, self.signal_length)
        if self.backend != NATIVE:
            return reference.cepstra(
                wave,
                sampling_rate=self.analysis_rate,
                n_fft=self.n_fft,
                hop_length=self.hop_length,
                window=self.window,
                n_mfcc=self.n_mfcc,
                n_mels=self.n_mels,
                n_chroma=self.n_chroma,
            )
        frames = spectral.frame(wave, n_fft=self.n_fft, hop_length=self.hop_length)  # -> (K, n_fft)
        spectrum = spectral.magnitude(frames, spectral.periodic_window(self.window, self.n_fft))
        power = np.square(spectrum)  # (K, 1 + n_fft // 2)
        bands = spectral.mel_bank(sampling_rate=self.analysis_rate, n_fft=self.n_fft, n_mels=self.n_mels)
        coefficients = spectral.mfcc(spectral.decibels(spectral.mel_power(power, bands)), n_mfcc=self.n_mfcc)
        if not self.n_chroma:
            return coefficients
        tuning = estimate_tuning(power, sampling_rate=self.analysis_rate, n_chroma=self.n_chroma)
        pitches = spectral.chroma_bank(
            sampling_rate=self.analysis_rate, n_fft=self.n_fft, n_chroma=self.n_chroma, tuning=tuning
        )
        return np.concatenate((coefficients, spectral.chroma(power, pitches)))


def fit(wave: Floats, length: int) -> Floats:
    """Zero-pad or cut a wave to a length, equally on both sides.

    >>> fit(np.array([1, 2], np.float32), 5)
    array([0., 1., 2., 0., 0.], dtype=float32)
    >>> fit(np.array([1, 2, 3, 4, 5], np.float32), 2)
    array([2., 3.], dtype=float32)

    Source: ``get_feature`` of TIM-Net's released code

    """
    missing = length - len(wave)
    if missing < 0:
        start = -missing // 2
        return wave[start : start + length]
    return np.pad(wave, (missing // 2, missing - missing // 2))
