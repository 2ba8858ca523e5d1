"""Tests of log-mel bands and deltas against librosa and the formula of the paper."""

import warnings

import librosa
import numpy as np
import pytest
from tests.features.waves import FEW_WAVES, WAVES
from tests.parity import features_of, read, released_clips

from ser_lightning.features.logmel_deltas import LogMelDeltas, delta
from ser_lightning.features.mel import LogMel

VALUES = {
    **{"sampling_rate": 16000, "analysis_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160},
    **{"window": "hamming", "n_mels": 40, "delta_frames": 2, "standardize": True},
}


def of_librosa(wave):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)  # for waves shorter than a frame
        frames = {"n_fft": 512, "win_length": 400, "hop_length": 160, "window": "hamming"}
        mel = librosa.feature.melspectrogram(y=wave, sr=16000, **frames, n_mels=40)
    level = librosa.power_to_db(mel, ref=1.0, top_db=None)
    first = librosa.feature.delta(level, width=5, mode="nearest")
    return np.concatenate((level, first, librosa.feature.delta(first, width=5, mode="nearest"))).T


def by_the_formula(rows, frames):
    """Evaluate the formula of the paper value by value."""
    last = rows.shape[1] - 1
    weights = range(1, frames + 1)
    return np.array(
        [
            [
                sum(n * (row[min(t + n, last)] - row[max(t - n, 0)]) for n in weights)
                / (2 * sum(n * n for n in weights))
                for t in range(last + 1)
            ]
            for row in rows.astype(np.float64)
        ]
    )


@pytest.mark.parametrize("name", FEW_WAVES)
def test_logmel_deltas_match_librosa(name):
    wave = WAVES[name]
    features, expected = LogMelDeltas(**VALUES)(wave), of_librosa(wave)
    assert features.shape == expected.shape
    np.testing.assert_allclose(features, expected, atol=2e-4)


@pytest.mark.parametrize("backend", ["native", "librosa"])
def test_log_mel_is_the_first_block(backend):
    wave = WAVES[FEW_WAVES[0]]
    features = LogMel(**{key: value for key, value in VALUES.items() if key != "delta_frames"}, backend=backend)
    np.testing.assert_allclose(features(wave), of_librosa(wave)[:, :40], atol=2e-4)
    assert features.names == LogMelDeltas(**VALUES).names[:40]


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_delta_matches_formula_of_the_paper(frames, count):
    rows = np.random.default_rng(0).standard_normal((3, count)).astype(np.float32)
    np.testing.assert_allclose(delta(rows.T, width=frames).T, by_the_formula(rows, frames), atol=1e-6)


def test_delta_of_a_ramp_is_its_slope():
    slope = np.outer([1.0, -2.0], np.arange(20)).astype(np.float32)
    np.testing.assert_allclose(delta(slope.T, width=2)[2:-2].T, np.tile([[1.0], [-2.0]], 16), atol=1e-6)
    np.testing.assert_array_equal(delta(np.full((9, 2), 7, np.float32), width=2), np.zeros((9, 2)))


def test_names_match_features():
    features = LogMelDeltas(**VALUES)
    assert features.size == 120
    assert [features.names[i] for i in (0, 39, 40, 80, 119)] == [
        "mel_001",
        "mel_040",
        "delta_001",
        "delta2_001",
        "delta2_040",
    ]
    matrix = features(WAVES["chirp"])
    np.testing.assert_array_equal(matrix[:, 40:80], delta(matrix[:, :40], width=2))
    np.testing.assert_array_equal(matrix[:, 80:], delta(matrix[:, 40:80], width=2))


def test_gain_does_not_change_deltas():
    wave = WAVES["vowel"]
    loud, soft = LogMelDeltas(**VALUES)(wave), LogMelDeltas(**VALUES)(np.float32(0.5) * wave)
    assert loud[:, :40].min() > -90  # no value at the floor
    np.testing.assert_allclose(soft[:, :40], loud[:, :40] + 20 * np.log10(0.5), atol=1e-4)
    np.testing.assert_allclose(soft[:, 40:], loud[:, 40:], atol=1e-4)


@pytest.mark.real
def test_logmel_deltas_match_librosa_on_real_clips(reference_root):
    features = features_of("logmel_deltas")
    for path in released_clips(reference_root)[::20]:
        wave = read(path)
        np.testing.assert_allclose(features(wave), of_librosa(wave), atol=2e-4)
