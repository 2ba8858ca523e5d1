"""Tests of windows and filterbanks, which must equal those of SciPy and librosa exactly."""

import librosa
import numpy as np
import pytest
import scipy.signal

from ser_lightning.features import filterbanks


@pytest.mark.parametrize("n_fft", [1, 2, 512, 2048, 1000])
@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "boxcar", "nuttall"])
def test_window_matches_scipy(name, n_fft):
    np.testing.assert_array_equal(filterbanks.window(name, n_fft), scipy.signal.get_window(name, n_fft))


def test_unknown_window_raises_value_error():
    with pytest.raises(ValueError, match="window"):
        filterbanks.window("square", 512)


@pytest.mark.parametrize("sampling_rate", [16000, 22050, 8000])
@pytest.mark.parametrize("n_chroma", [12, 24, 7, 36])
@pytest.mark.parametrize("n_fft", [2048, 512])
def test_chroma_matches_librosa(sampling_rate, n_chroma, n_fft):
    for tuning in np.linspace(-0.5, 0.49, 100):
        expected = librosa.filters.chroma(sr=sampling_rate, n_fft=n_fft, n_chroma=n_chroma, tuning=tuning)
        ours = filterbanks.chroma(sampling_rate=sampling_rate, n_fft=n_fft, n_chroma=n_chroma, tuning=float(tuning))
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")  # from librosa, for many bands in few bins
@pytest.mark.parametrize("sampling_rate", [1500, 8000, 16000, 22050, 48000])
@pytest.mark.parametrize("n_mels", [1, 40, 128, 200])
@pytest.mark.parametrize("n_fft", [512, 2048])
def test_mel_matches_librosa(sampling_rate, n_mels, n_fft):
    expected = librosa.filters.mel(sr=sampling_rate, n_fft=n_fft, n_mels=n_mels)
    np.testing.assert_array_equal(filterbanks.mel(sampling_rate=sampling_rate, n_fft=n_fft, n_mels=n_mels), expected)
