"""The short-time spectrum."""

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

    The rows are ``bin_0000`` (0 Hz), ``bin_0001`` ...; the frequency of bin ``i`` is ``i * analysis_rate / n_fft`` Hz.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        n_fft: length of a frame, samples at the analysis rate; even
        win_length: length of the window, centered in the frame, samples at the analysis rate; at most ``n_fft``
        hop_length: step between frames, samples at the analysis rate
        window: name of the window in scipy.signal.get_window
        center: if True, a frame is centered on every ``hop_length``-th sample, with zeros beyond the ends; otherwise it
            starts there, and no frame extends beyond the end
        bins: number of bins to keep, from the lowest, at most ``1 + n_fft // 2``
        scale: ``magnitude``, ``power`` (its square), or ``decibels`` of the power, with a floor of -100 dB
        standardize: whether the model should standardize these features; not applied here
        backend: ``native`` for the C kernels, ``librosa`` for the reference, ``auto`` for native where available

    Raises:
        InputError: a value is out of range

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
        """Compute the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, K) with K = 1 + n // hop_length if ``center`` is set, otherwise K = 1 + (n - n_fft) // hop_length, at
            least 1, where n is the number of samples at the analysis rate

        Raises:
            InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

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
