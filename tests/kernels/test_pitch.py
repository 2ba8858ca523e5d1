"""Tests of the phase vocoder kernels against plain NumPy."""

import numpy as np
import pytest

from ser_lightning.kernels import pitch as kernels

N_FFT, HOP = 64, 16
WINDOW = np.hanning(N_FFT + 1)[:-1].astype(np.float32)


def frames_of(count):
    wave = np.random.default_rng(0).standard_normal(N_FFT + (count - 1) * HOP).astype(np.float32)
    wave[: 2 * N_FFT] = 0  # includes digital silence
    return np.lib.stride_tricks.sliding_window_view(wave, N_FFT)[::HOP]


def plain_advances(frames):
    spectrum = np.pad(np.fft.rfft(frames * WINDOW), ((0, 2), (0, 0)))
    unit = np.where(spectrum == 0, 1, np.exp(1j * np.angle(spectrum)))
    return np.abs(spectrum), unit[1:] * unit[:-1].conj(), unit[0]


@pytest.mark.parametrize("count", [1, 2, 8, 9, 30])
def test_advances_match_numpy(count):
    magnitude, advance, start = plain_advances(frames_of(count))
    got = kernels.advances(frames_of(count), WINDOW)
    np.testing.assert_allclose(got.magnitude, magnitude, atol=1e-5)
    np.testing.assert_allclose(got.start[0] + 1j * got.start[1], start, atol=1e-5)
    # The phase of a bin with almost no energy is arbitrary.
    sure = np.minimum(magnitude[1:], magnitude[:-1]) > 1e-2
    np.testing.assert_allclose((got.advance[:, 0] + 1j * got.advance[:, 1])[sure], advance[sure], atol=1e-4)
    np.testing.assert_allclose(np.hypot(got.advance[:, 0], got.advance[:, 1]), 1, atol=1e-6)
    silent = magnitude[1:] + magnitude[:-1] == 0
    assert silent[-1].all()
    np.testing.assert_array_equal(got.advance[:, 0][silent], 1)


@pytest.mark.parametrize("rate", [0.5, 0.84, 1.0, 1.19, 2.0])
@pytest.mark.parametrize("count", [1, 7, 8, 30])
def test_stretched_matches_numpy(rate, count):
    got = kernels.advances(frames_of(count), WINDOW)
    magnitude, advance = got.magnitude.astype(float), got.advance[:, 0] + 1j * got.advance[:, 1].astype(float)
    phase, frames = got.start[0] + 1j * got.start[1].astype(float), []
    for at in np.arange(0, count, rate):
        before = int(at)
        level = magnitude[before] + (at - before) * (magnitude[before + 1] - magnitude[before])
        frames.append(np.fft.irfft(level * phase) * WINDOW)
        phase = phase * advance[before]
    expected, envelope = np.zeros((2, N_FFT + (len(frames) - 1) * HOP))
    for k, frame in enumerate(frames):
        expected[k * HOP : k * HOP + N_FFT] += frame
        envelope[k * HOP : k * HOP + N_FFT] += WINDOW.astype(float) ** 2
    signal, weight = kernels.stretch(got, WINDOW, rate=rate, hop_length=HOP)
    np.testing.assert_allclose(signal, expected, atol=1e-5)
    np.testing.assert_allclose(weight, envelope, atol=1e-6)


def test_filtered_interpolates_between_samples():
    wave = np.arange(30, dtype=np.float32)
    between = np.linspace(0, 1, 5)[:, None]
    filters = np.zeros((5, 8), np.float32)
    filters[:, :2] = np.hstack([1 - between, between])  # a straight line from the first tap to the second
    got = kernels.resample_with_filters(wave, filters, step=5, every=3, samples=12)
    np.testing.assert_allclose(got, np.arange(12) * 5 / 3, rtol=1e-6)


def test_filters_beyond_signal_raise_value_error():
    filters = np.zeros((5, 8), np.float32)
    with pytest.raises(ValueError, match="expected taps by 8 and 26 samples but got 8 and 25"):
        kernels.resample_with_filters(np.zeros(25, np.float32), filters, step=5, every=3, samples=12)
    with pytest.raises(ValueError, match="expected taps by 8"):
        kernels.resample_with_filters(np.zeros(99, np.float32), filters[:, :7].copy(), step=5, every=3, samples=12)
