"""Log-mel bands with their deltas and delta-deltas."""

import numpy as np
import numpy.typing as npt

from ser_lightning.features import framing, reference, spectral
from ser_lightning.features.spectral import Floats
from ser_lightning.features.spectral162 import check_wave
from ser_lightning.features.values import check_at_most, check_counts, check_frames
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend


class LogMelDeltas:
    """Mel power in dB, its deltas and its delta-deltas.

    The rows are ``mel_001`` ..., ``delta_001`` ..., ``delta2_001`` ..., from the top: 120 rows for 40 bands.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        n_fft: length of a frame, samples at the analysis rate; even
        win_length: length of the window, centered in the frame, samples at the analysis rate; at most ``n_fft``
        hop_length: step between frames, samples at the analysis rate
        window: name of the window in scipy.signal.get_window
        n_mels: number of mel bands
        delta_frames: number of frames N on each side that a delta uses, see :func:`delta`
        standardize: whether the model should standardize these features; not applied here
        backend: ``native`` for the C kernels, ``librosa`` for the reference, ``auto`` for native where available

    Raises:
        InputError: a value is out of range

    Source: Chen et al. 2018, 3-D convolutional recurrent neural networks with attention model. Unlike there, the mel
        bands are librosa's, and levels are in dB with a floor of -100 dB instead of natural logarithms.

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
        n_mels: int,
        delta_frames: int,
        standardize: bool,
        backend: str = AUTO,
    ) -> None:
        check_counts(sampling_rate=sampling_rate, analysis_rate=analysis_rate, win_length=win_length)
        check_counts(n_mels=n_mels, delta_frames=delta_frames)
        check_frames(n_fft=n_fft, hop_length=hop_length, window=window)
        check_at_most("n_fft", n_fft, win_length=win_length)
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.window = window
        self.n_mels = n_mels
        self.delta_frames = delta_frames
        self.standardize = standardize
        self.backend = resolve_backend(backend, reference="librosa", key="features.backend")
        self.names = tuple(f"{of}_{i:03d}" for of in ("mel", "delta", "delta2") for i in range(1, n_mels + 1))
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
            return reference.logmel_deltas(
                wave,
                sampling_rate=self.analysis_rate,
                n_fft=self.n_fft,
                win_length=self.win_length,
                hop_length=self.hop_length,
                window=self.window,
                n_mels=self.n_mels,
                delta_frames=self.delta_frames,
            )
        frames = spectral.frame(wave, n_fft=self.n_fft, hop_length=self.hop_length)  # -> (K, n_fft)
        window = framing.window_within(self.window, win_length=self.win_length, n_fft=self.n_fft)
        power = np.square(spectral.magnitude(frames, window))  # (K, n_fft) -> (K, 1 + n_fft // 2)
        bands = spectral.mel_bank(sampling_rate=self.analysis_rate, n_fft=self.n_fft, n_mels=self.n_mels)
        mel = spectral.decibels(spectral.mel_power(power, bands))  # (n_mels, K)
        change = delta(mel, frames=self.delta_frames)
        return np.concatenate((mel, change, delta(change, frames=self.delta_frames)))


def delta(rows: Floats, *, frames: int) -> Floats:
    """Compute the deltas of rows: the slope of a line through N frames on each side.

    ``d[t] = sum over n = 1..N of n (c[t + n] - c[t - n]) / (2 sum of n^2)``; the first and the last frame are repeated
    beyond the ends.

    Args:
        rows: (rows, K)
        frames: number of frames N on each side

    Returns:
        (rows, K)

    Source: Chen et al. 2018, with N = 2; librosa.feature.delta(width=2 N + 1, mode="nearest")

    """
    count = rows.shape[1]
    padded = np.pad(rows, ((0, 0), (frames, frames)), mode="edge")
    result = np.zeros_like(rows)
    for n in range(1, frames + 1):
        ahead, behind = padded[:, frames + n :][:, :count], padded[:, frames - n :][:, :count]
        result += np.float32(n) * (ahead - behind)
    result /= np.float32(2 * sum(n * n for n in range(1, frames + 1)))
    return result
