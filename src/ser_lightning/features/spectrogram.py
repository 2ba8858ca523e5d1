"""The short-time spectrum as it is."""

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import framing, reference, spectral
from ser_lightning.features.spectral162 import check_wave
from ser_lightning.features.values import check_at_most, check_choice, check_counts, check_frames
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend

SCALES = ("magnitude", "power", "decibels")


class Spectrogram:
    """The lowest bins of the short-time Fourier transform.

    The rows are ``bin_0000`` (the constant), ``bin_0001`` ...; bin ``i`` is at ``i * analysis_rate / n_fft`` Hz.

    Args:
        sampling_rate: of the waves given, Hz
        analysis_rate: to which they are resampled before anything is computed, Hz
        n_fft: length of a frame, samples at the analysis rate; even
        win_length: length of the window in the middle of it, samples, at most ``n_fft``
        hop_length: between frames, samples at the analysis rate
        window: its name in scipy.signal.get_window
        center: a frame is centred on every ``hop_length``-th sample, zeros beyond the ends; else it begins there, and
            none reaches beyond the end
        bins: how many are kept, from the lowest, at most ``1 + n_fft // 2``
        scale: ``magnitude``; ``power``, its square; or ``decibels`` of the power, above -100 dB
        standardize: the model shall standardise these features; nothing is done about it here
        backend: ``native``, the C kernels; ``librosa``, the reference; or ``auto``, native where it can be used

    Raises:
        InputError: a value out of its range

    Source: librosa.stft

    """

    def __init__(
        self,
        *,
        sampling_rate: int,
        analysis_rate: int,
        n_fft: int,
        win_length: int,
        hop_length: int,
        window: str,
        center: bool,
        bins: int,
        scale: str,
        standardize: bool,
        backend: str = AUTO,
    ) -> None:
        check_counts(sampling_rate=sampling_rate, analysis_rate=analysis_rate, win_length=win_length, bins=bins)
        check_frames(n_fft=n_fft, hop_length=hop_length, window=window)
        check_at_most("n_fft", n_fft, win_length=win_length)
        if bins > 1 + n_fft // 2:
            raise InputError(f"features.bins is {bins}; expected at most 1 + features.n_fft // 2, {1 + n_fft // 2}")
        check_choice(SCALES, scale=scale)
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.window = window
        self.center = center
        self.bins = bins
        self.scale = scale
        self.standardize = standardize
        self.backend = resolve_backend(backend, reference="librosa", key="features.backend")
        self.names = tuple(f"bin_{i:04d}" for i in range(bins))
        self.size = bins

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, K), where with n samples at the analysis rate K = 1 + n // hop_length if centred, else
            1 + (n - n_fft) // hop_length, at least 1

        Raises:
            InputError: not a vector of float32, empty, or with samples that are not finite or absurdly loud

        """
        check_wave(wave)
        wave = spectral.resample(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        if self.backend != NATIVE:
            return reference.spectrogram(
                wave,
                n_fft=self.n_fft,
                win_length=self.win_length,
                hop_length=self.hop_length,
                window=self.window,
                center=self.center,
                bins=self.bins,
                scale=self.scale,
            )
        frame = spectral.frame if self.center else framing.frame_within
        frames = frame(wave, n_fft=self.n_fft, hop_length=self.hop_length)  # -> (K, n_fft)
        window = framing.window_within(self.window, win_length=self.win_length, n_fft=self.n_fft)
        spectrum = spectral.magnitude(frames, window)[:, : self.bins]  # (K, n_fft) -> (K, bins)
        if self.scale != "magnitude":
            spectrum = np.square(spectrum)
        if self.scale == "decibels":
            spectrum = spectral.decibels(spectrum)
        return np.ascontiguousarray(spectrum.T)
