"""Tests of the spectrogram against librosa."""

import warnings

import librosa
import numpy as np
import pytest
from tests.configs import composed
from tests.features.waves import FEW_WAVES, WAVES
from tests.parity import features_of, read, released_clips

from ser_lightning.features.spectrogram import Spectrogram

VALUES = {
    **{"sampling_rate": 16000, "analysis_rate": 16000, "n_fft": 256, "win_length": 256, "hop_length": 128},
    **{"window": "hann", "center": True, "bins": 129, "scale": "magnitude", "standardize": False},
}


def of_librosa(wave, *, n_fft, win_length, hop_length, window, center, bins, scale, **_):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)  # for waves shorter than a frame
        if not center:  # librosa rejects waves shorter than n_fft
            wave = np.pad(wave, (0, max(0, n_fft - len(wave))))
        frames = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length, "window": window}
        spectrum = np.abs(librosa.stft(wave, **frames, center=center))[:bins].T
    if scale == "decibels":
        return librosa.amplitude_to_db(spectrum, ref=1.0, amin=1e-5, top_db=None)
    return spectrum if scale == "magnitude" else spectrum**2


@pytest.mark.parametrize("scale", ["magnitude", "power", "decibels"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("frames", [(256, 256, 128), (800, 640, 160), (512, 399, 77)], ids=str)
@pytest.mark.parametrize("name", FEW_WAVES)
def test_spectrogram_matches_librosa(name, frames, center, scale):
    wave = WAVES[name]
    n_fft, win_length, hop_length = frames
    values = VALUES | {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length, "window": "hamming"}
    values |= {"center": center, "scale": scale, "bins": 100}
    expected = of_librosa(wave, **values)
    spectrum = Spectrogram(**values)(wave)
    assert spectrum.shape == expected.shape
    # Bins that cancel out hold rounding errors, which differ between transforms.
    atol = 1e-4 if scale == "decibels" else 1e-6 * expected.max()
    np.testing.assert_allclose(spectrum, expected, rtol=1e-6, atol=atol)


def test_number_of_frames_with_and_without_center():
    for samples, frames in ((1, 1), (255, 1), (256, 1), (383, 1), (384, 2), (16000, 124)):
        wave = np.ones(samples, np.float32)
        assert Spectrogram(**VALUES | {"center": False})(wave).shape == (frames, 129)
        assert Spectrogram(**VALUES)(wave).shape == (1 + samples // 128, 129)


def test_tone_peaks_in_bin_of_its_frequency():
    values = VALUES | {"n_fft": 800, "win_length": 640, "hop_length": 160, "bins": 200}
    wave = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    features = Spectrogram(**values)
    assert (features(wave)[5:-5].argmax(axis=1) == 50).all()  # bins of 20 Hz
    assert features.names[50] == "bin_0050"


def test_gain_scales_spectrogram():
    wave = WAVES["vowel"]
    for scale, change in (("magnitude", lambda x: x / 2), ("power", lambda x: x / 4)):
        features = Spectrogram(**VALUES | {"scale": scale})
        np.testing.assert_array_equal(features(wave / 2), change(features(wave)))
    features = Spectrogram(**VALUES | {"scale": "decibels"})
    loud, soft = features(wave), features(wave / 2)
    np.testing.assert_allclose(soft, np.maximum(loud + 20 * np.log10(0.5), -100), atol=1e-4)


@pytest.mark.real
@pytest.mark.parametrize("option", ["stft", "spectrogram"])
def test_spectrogram_matches_librosa_on_real_clips(reference_root, option):
    features, values = features_of(option), composed(f"features={option}")["features"]
    for path in released_clips(reference_root)[::20]:
        wave = read(path)
        expected = of_librosa(wave, **values)
        assert features(wave).shape == expected.shape
        np.testing.assert_allclose(features(wave), expected, rtol=1e-6, atol=1e-4)
