"""Tests of MFCC and chroma against librosa, called as in TIM-Net and ResLSTM."""

import warnings

import librosa
import numpy as np
import pytest
from tests.configs import composed
from tests.features.waves import FEW_WAVES, WAVES

from ser_lightning.build import build
from ser_lightning.features.cepstra import Cepstra, pad_or_crop

RATE = 16000
VALUES = {
    **{"sampling_rate": RATE, "analysis_rate": RATE, "n_fft": 2048, "hop_length": 512, "window": "hann"},
    **{"n_mfcc": 34, "n_mels": 128, "n_chroma": 12, "signal_length": None, "standardize": False},
}


def of_librosa(wave, rate, *, n_mfcc, n_fft, hop_length, n_chroma):
    with warnings.catch_warnings():
        # The tests include waves shorter than a frame and waves without pitch, of which librosa warns.
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)
        warnings.filterwarnings("ignore", message="Trying to estimate tuning", category=UserWarning)
        frames = {"n_fft": n_fft, "hop_length": hop_length}
        mfcc = librosa.feature.mfcc(y=wave, sr=rate, n_mfcc=n_mfcc, **frames)
        chroma = librosa.feature.chroma_stft(y=wave, sr=rate, n_chroma=n_chroma or 12, **frames)
    return np.concatenate((mfcc, chroma[:n_chroma])).T


def assert_equal(features, expected):
    assert features.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(features, expected, atol=1e-5 * scale)


@pytest.mark.parametrize("frames", [(2048, 512), (4096, 2048)], ids=str)
@pytest.mark.parametrize("n_chroma", [0, 12])
@pytest.mark.parametrize("name", FEW_WAVES)
def test_cepstra_match_librosa(name, frames, n_chroma):
    wave = WAVES[name]
    values = {"n_fft": frames[0], "hop_length": frames[1], "n_chroma": n_chroma, "n_mfcc": 34}
    features, expected = Cepstra(**VALUES | values)(wave), of_librosa(wave, RATE, **values)
    assert_equal(features[:, :34], expected[:, :34])
    np.testing.assert_allclose(features[:, 34:], expected[:, 34:], atol=1e-5)


def test_chroma_is_not_computed_from_magnitude():
    wave = WAVES["vowel"]
    ours = Cepstra(**VALUES)(wave)[:, 34:]
    magnitude = librosa.feature.chroma_stft(S=np.abs(librosa.stft(wave)), sr=RATE).T
    assert np.abs(ours - magnitude).max() > 0.1


@pytest.mark.parametrize("length", [1, 2, 1000, 1001])
@pytest.mark.parametrize("samples", [1, 2, 999, 1000, 1001, 2500])
def test_clip_is_padded_and_crops_like_tim_net(length, samples):
    wave = np.arange(1, samples + 1, dtype=np.float32)
    fitted = pad_or_crop(wave, length)
    assert len(fitted) == length
    before, after = (length - samples) // 2, (length - samples) - (length - samples) // 2
    if samples <= length:
        np.testing.assert_array_equal(fitted, np.pad(wave, (before, after)))
    else:
        assert fitted[0] == 1 + (samples - length) // 2
        np.testing.assert_array_equal(np.diff(fitted), np.ones(length - 1))


def test_signal_length_gives_all_clips_the_same_shape():
    features = Cepstra(**VALUES | {"signal_length": 20000})
    for wave in WAVES.values():
        assert features(wave).shape == (1 + 20000 // 512, 46)
    np.testing.assert_array_equal(features(WAVES["vowel"]), Cepstra(**VALUES)(np.pad(WAVES["vowel"], (2000, 2000))))


def test_gain_changes_only_first_mfcc():
    wave = WAVES["vowel"]
    loud, soft = Cepstra(**VALUES)(wave), Cepstra(**VALUES)(np.float32(0.5) * wave)
    np.testing.assert_array_equal(soft[:, 34:], loud[:, 34:])
    np.testing.assert_allclose(soft[:, 1:34], loud[:, 1:34], atol=1e-3)
    assert not np.allclose(soft[:, 0], loud[:, 0], rtol=0.01)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)':DeprecationWarning")  # imported by librosa.load
def test_mfcc_matches_tim_net_on_ravdess(ravdess_root):
    """Reproduce the extraction of TIM-Net: load, pad or crop to a fixed length, and compute librosa's MFCC."""
    for length in (110000, 80000):
        values = composed("features=mfcc", "audio=untrimmed_22k")["features"] | {"signal_length": length}
        audio, features = build("audio", composed("audio=untrimmed_22k")["audio"]), build("features", values)
        longer = 0
        for path in sorted(ravdess_root.rglob("*.flac"))[::97]:
            wave = audio.load(path).wave
            signal, rate = librosa.load(path)
            signal = signal[: len(wave)]  # librosa rounds the number of samples up and pads with a zero
            np.testing.assert_array_equal(wave, signal)
            missing = length - len(signal)
            longer += missing < 0
            if missing > 0:
                signal = np.pad(signal, (missing // 2, missing // 2 + missing % 2))
            else:
                signal = signal[-missing // 2 :][:length]
            assert_equal(features(wave), librosa.feature.mfcc(y=signal, sr=rate, n_mfcc=39).T)
        assert (longer > 3) == (length == 80000)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)':DeprecationWarning")
def test_mfcc_and_chroma_match_res_lstm_on_ravdess(ravdess_root):
    audio = build("audio", composed("audio=untrimmed_48k")["audio"])
    features = build("features", composed("features=mfcc_chroma", "audio=untrimmed_48k")["features"])
    for path in sorted(ravdess_root.rglob("*.flac"))[::97]:
        signal, rate = librosa.load(path, sr=None)
        assert rate == 48000
        expected = of_librosa(signal, rate, n_mfcc=34, n_fft=4096, hop_length=2048, n_chroma=12)
        matrix = features(audio.load(path).wave)
        assert_equal(matrix[:, :34], expected[:, :34])
        np.testing.assert_allclose(matrix[:, 34:], expected[:, 34:], atol=1e-4)
