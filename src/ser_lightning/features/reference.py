"""The features computed with librosa: the reference for the C kernels and the fallback where they are unavailable."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@contextmanager
def _librosa() -> Iterator[Any]:
    """Import librosa lazily, as it takes a second, and silence its warnings of short or unpitched waves."""
    import librosa

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=|Trying to estimate tuning|Empty filters detected", UserWarning)
        yield librosa


def spectral162(
    wave: Floats,
    *,
    sampling_rate: int,
    n_fft: int,
    hop_length: int,
    window: str,
    n_chroma: int,
    n_mfcc: int,
    n_mels: int,
    log: bool,
) -> Floats:
    """Compute zero crossing rate, chroma, MFCC, RMS and mel power as the study did with librosa, (F, K)."""
    with _librosa() as librosa:
        spectrum = np.abs(librosa.stft(wave, n_fft=n_fft, hop_length=hop_length, window=window))
        crossings = librosa.feature.zero_crossing_rate(wave, frame_length=n_fft, hop_length=hop_length)
        chroma = librosa.feature.chroma_stft(S=spectrum, sr=sampling_rate, n_chroma=n_chroma)
        mel = librosa.feature.melspectrogram(S=spectrum**2, sr=sampling_rate, n_fft=n_fft, n_mels=n_mels)
        mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=n_mfcc)
        rms = librosa.feature.rms(y=wave, frame_length=n_fft, hop_length=hop_length)
        if log:
            rms, mel = librosa.power_to_db(rms**2, top_db=None), librosa.power_to_db(mel, top_db=None)
    return np.concatenate((crossings, chroma, mfcc, rms, mel)).astype(np.float32)


def cepstra(
    wave: Floats,
    *,
    sampling_rate: int,
    n_fft: int,
    hop_length: int,
    window: str,
    n_mfcc: int,
    n_mels: int,
    n_chroma: int,
) -> Floats:
    """Compute MFCC and chroma of the power spectrum, (n_mfcc + n_chroma, K)."""
    frames = {"y": wave, "sr": sampling_rate, "n_fft": n_fft, "hop_length": hop_length, "window": window}
    with _librosa() as librosa:
        rows = [librosa.feature.mfcc(**frames, n_mfcc=n_mfcc, n_mels=n_mels)]
        if n_chroma:
            rows.append(librosa.feature.chroma_stft(**frames, n_chroma=n_chroma))
    return np.concatenate(rows).astype(np.float32)


def crossings_and_level(wave: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """Compute the zero crossing rate and the level in dB, (2, K)."""
    with _librosa() as librosa:
        crossings = librosa.feature.zero_crossing_rate(wave, frame_length=n_fft, hop_length=hop_length)
        rms = librosa.feature.rms(y=wave, frame_length=n_fft, hop_length=hop_length)
        level = librosa.power_to_db(rms**2, top_db=None)
    return np.concatenate((crossings, level)).astype(np.float32)


def spectrogram(
    wave: Floats, *, n_fft: int, win_length: int, hop_length: int, window: str, center: bool, bins: int, scale: str
) -> Floats:
    """Compute the lowest bins of the spectrum as ``magnitude``, ``power`` or ``decibels``, (bins, K)."""
    if not center:  # librosa rejects a wave shorter than a frame
        wave = np.pad(wave, (0, max(0, n_fft - len(wave))))
    frames = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length, "window": window}
    with _librosa() as librosa:
        spectrum = np.abs(librosa.stft(wave, **frames, center=center))[:bins]
        if scale == "decibels":
            return np.asarray(librosa.power_to_db(spectrum**2, top_db=None), np.float32)
    return np.asarray(spectrum if scale == "magnitude" else spectrum**2, np.float32)


def logmel_deltas(
    wave: Floats,
    *,
    sampling_rate: int,
    n_fft: int,
    win_length: int,
    hop_length: int,
    window: str,
    n_mels: int,
    delta_frames: int,
) -> Floats:
    """Compute mel power in dB, its deltas and its delta-deltas, (3 * n_mels, K)."""
    frames = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length, "window": window}
    with _librosa() as librosa:
        power = librosa.feature.melspectrogram(y=wave, sr=sampling_rate, n_mels=n_mels, **frames)
        mel = librosa.power_to_db(power, top_db=None)
        change = librosa.feature.delta(mel, width=2 * delta_frames + 1, mode="nearest")
        again = librosa.feature.delta(change, width=2 * delta_frames + 1, mode="nearest")
    return np.concatenate((mel, change, again)).astype(np.float32)
