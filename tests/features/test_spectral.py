"""Tests of the 162 features and their tuning against librosa on edge-case, random and real signals."""

import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.waves import RATE, WAVES
from tests.parity import (
    BLOCKS,
    CLIPS,
    FEATURE_ERROR,
    SETTINGS,
    features_of,
    librosa_features,
    pairs_with_librosa,
    pairs_with_reference,
    read,
    relative_errors,
    released_clips,
)

from ser_lightning.features import spectral
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.features.stft import STFT
from ser_lightning.features.tuning import estimate_tuning

VALUES = {
    "sampling_rate": RATE,
    "analysis_rate": RATE,
    "filterbank_rate": RATE,
    "n_fft": 2048,
    "hop_length": 512,
    "window": "hann",
    "n_chroma": 12,
    "n_mfcc": 20,
    "n_mels": 128,
    "log": False,
    "standardize": False,
}
TRANSFORM = STFT(n_fft=2048, hop_length=512, win_length=2048, window="hann", center=True)
ANALYSIS_RATES = {"true_rate": 16000, "released": 22050}


def librosa_tuning(wave, analysis_rate, n_chroma=12):
    with warnings.catch_warnings():
        # The tests include waves shorter than a frame and waves without pitch, of which librosa warns.
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)
        warnings.filterwarnings("ignore", message="Trying to estimate tuning", category=UserWarning)
        y = librosa.resample(wave, orig_sr=RATE, target_sr=analysis_rate, res_type="soxr_hq")
        return librosa.estimate_tuning(S=np.abs(librosa.stft(y)), sr=RATE, bins_per_octave=n_chroma)


def tuning_of(wave, analysis_rate, n_chroma=12):
    wave = spectral.resample(wave, sampling_rate=RATE, analysis_rate=analysis_rate)
    return estimate_tuning(TRANSFORM.magnitude(TRANSFORM.frames(wave)), sampling_rate=RATE, n_chroma=n_chroma)


def assert_equal_blocks(features, expected):
    """Compare with a tenth of the tolerance of ``make parity``, which allows for other machines."""
    assert features.shape == expected.shape
    assert features.dtype == np.float32
    for block, error in relative_errors(features, expected).items():
        assert error <= FEATURE_ERROR / 10, block


@pytest.mark.parametrize("analysis_rate", ANALYSIS_RATES.values(), ids=ANALYSIS_RATES)
@pytest.mark.parametrize("wave", WAVES.values(), ids=WAVES)
def test_spectral162_matches_librosa(wave, analysis_rate):
    features = Spectral162(**VALUES | {"analysis_rate": analysis_rate})(wave)
    assert_equal_blocks(features, librosa_features(wave, analysis_rate=analysis_rate))
    assert tuning_of(wave, analysis_rate) == librosa_tuning(wave, analysis_rate)
    at_analysis_rate = -(-len(wave) * analysis_rate // RATE)  # rounded up
    assert features.shape == (1 + at_analysis_rate // 512, 162)


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(1, 6000),
    seed=st.integers(0, 2**32 - 1),
    hertz=st.floats(20, 7900),
    noise=st.floats(0, 1),
    amplitude=st.floats(1e-3, 100),
)
def test_spectral162_matches_librosa_on_random_waves(samples, seed, hertz, noise, amplitude):
    wave = np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)
    wave += noise * np.random.default_rng(seed).standard_normal(samples)
    wave = (amplitude * wave).astype(np.float32)
    assert_equal_blocks(Spectral162(**VALUES)(wave), librosa_features(wave, analysis_rate=RATE))
    assert tuning_of(wave, RATE) == librosa_tuning(wave, RATE)


def test_chroma_and_tuning_match_librosa_with_24_classes():
    wave = WAVES["vowel"]
    features = Spectral162(**VALUES | {"n_chroma": 24})(wave)
    expected = librosa_features(wave, analysis_rate=RATE, n_chroma=24)
    np.testing.assert_allclose(features[:, 1:25], expected[:, 1:25], atol=1e-5)
    assert tuning_of(wave, RATE, n_chroma=24) == librosa_tuning(wave, RATE, n_chroma=24) != tuning_of(wave, RATE)


@pytest.mark.parametrize("name", ["vowel", "white_noise", "chirp"])
def test_magnitude_matches_librosa_up_to_rounding(name):
    spectrum = TRANSFORM.magnitude(TRANSFORM.frames(WAVES[name]))
    expected = np.abs(librosa.stft(WAVES[name])).T
    top = expected.max(axis=1, keepdims=True)
    # Both transform in double precision and round once, so they differ by at most two units in the last place, or by
    # double-precision rounding errors where a bin is much weaker than its frame.
    assert (np.abs(spectrum - expected) <= 2 * np.spacing(expected) + 1e-14 * top).all()
    assert np.mean((spectrum != expected)[expected > 0.1 * top]) < 1e-4  # these include the peaks used for tuning


def test_tuning_is_zero_without_pitch_in_range():
    assert estimate_tuning(np.ones((3, 1025), np.float32), sampling_rate=200, n_chroma=12) == 0.0


def test_blocks_have_names():
    names = Spectral162(**VALUES).names
    first = {block: names[columns.start] for block, columns in BLOCKS.items()}
    assert first == {"zcr": "zcr", "chroma": "chroma_01", "mfcc": "mfcc_01", "rms": "rms", "mel": "mel_001"}
    assert names[-1] == "mel_128"


@pytest.mark.parametrize("name", ["silence", "vowel", "white_noise"])
def test_log_changes_only_mel_and_rms(name):
    raw, log = (Spectral162(**VALUES | {"log": log})(WAVES[name]) for log in (False, True))
    np.testing.assert_array_equal(log[:, :33], raw[:, :33])
    decibels = {"top_db": None, "ref": 1.0, "amin": 1e-10}
    np.testing.assert_allclose(log[:, 34:], librosa.power_to_db(raw[:, 34:], **decibels), atol=1e-4)
    np.testing.assert_allclose(log[:, 33], librosa.power_to_db(raw[:, 33] ** 2, **decibels), atol=1e-4)
    assert not np.allclose(log[:, 33:], raw[:, 33:])


@pytest.mark.parametrize("option", ["released", "paper"])
def test_gain_changes_only_level_features(option):
    """Zero-crossing rate, normalized chroma and all but the first MFCC do not depend on the gain."""
    features = features_of(option)
    loud, soft = features(WAVES["vowel"]), features(np.float32(0.5) * WAVES["vowel"])
    for block in ("zcr", "chroma"):
        np.testing.assert_array_equal(soft[:, BLOCKS[block]], loud[:, BLOCKS[block]])
    first, *others = range(*BLOCKS["mfcc"].indices(162))
    np.testing.assert_allclose(soft[:, others], loud[:, others], atol=1e-3)
    for level in (first, BLOCKS["rms"], BLOCKS["mel"]):
        assert not np.allclose(soft[:, level], loud[:, level], rtol=0.1)


@pytest.mark.real
@pytest.mark.parametrize("option", SETTINGS)
@pytest.mark.parametrize(
    ("pairs", "number"), [(pairs_with_reference, 8), pytest.param(pairs_with_librosa, CLIPS, marks=pytest.mark.slow)]
)
def test_spectral162_matches_reference_on_real_clips(reference_root, option, pairs, number):
    compared = list(pairs(reference_root, option))
    assert len(compared) == number
    for features, expected in compared:
        assert_equal_blocks(features, expected)


@pytest.mark.real
@pytest.mark.parametrize("option", SETTINGS)
@pytest.mark.slow
def test_tuning_matches_librosa_on_real_clips(reference_root, option):
    rate = features_of(option).analysis_rate
    for path in released_clips(reference_root):
        wave = read(path)
        assert tuning_of(wave, rate) == librosa_tuning(wave, rate), path.name
