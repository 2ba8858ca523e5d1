"""Tests of the openSMILE features."""

import sys

import numpy as np
import opensmile
import pytest
from tests.features.waves import RATE, WAVES

from ser_lightning.errors import InputError
from ser_lightning.features import open_smile
from ser_lightning.features.open_smile import OpenSmile

SIZES = {"ComParE_2016": 6373, "eGeMAPSv02": 88}
sets = pytest.mark.parametrize("feature_set", SIZES)


def features_of(feature_set, **change):
    values = {"sampling_rate": RATE, "analysis_rate": RATE, "feature_set": feature_set, "standardize": True}
    return OpenSmile(**values | change)


def direct(wave, feature_set, rate=RATE):
    smile = opensmile.Smile(getattr(opensmile.FeatureSet, feature_set), opensmile.FeatureLevel.Functionals)
    return smile.process_signal(wave, rate)


@sets
@pytest.mark.parametrize("name", ["vowel", "silence", "chirp", "half_silent", "dc"])
def test_features_match_opensmile(feature_set, name):
    wave = WAVES[name] * np.float32(0.9)  # below full scale
    features, expected = features_of(feature_set), direct(wave, feature_set)
    assert features.names == tuple(expected.columns)
    assert features.size == SIZES[feature_set]
    np.testing.assert_array_equal(features(wave)[0], expected.to_numpy()[0].astype(np.float32))


def test_features_match_opensmile_on_16_bit_file(tmp_path):
    pcm = np.round(WAVES["vowel"] * 30000).astype(np.int16)
    ours = features_of("eGeMAPSv02")(pcm.astype(np.float32) / np.float32(32768))
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", pcm, RATE, subtype="PCM_16")
    np.testing.assert_array_equal(ours[0], smile.process_file(tmp_path / "a.wav").to_numpy()[0])


@sets
def test_samples_beyond_full_scale_are_clipped(feature_set):
    wave = WAVES["vowel"]
    clipped = np.clip(2 * wave, -1, 1 - 2**-15).astype(np.float32)
    features = features_of(feature_set)
    np.testing.assert_array_equal(features(2 * wave), features(clipped))
    full_scale = features_of("eGeMAPSv02")(np.sign(wave))
    wrapped = direct(np.sign(wave), "eGeMAPSv02").to_numpy()[0]  # openSMILE wraps 1 to -1
    assert not np.allclose(full_scale[0], wrapped)


@sets
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_short_clips_are_padded_with_silence(feature_set, rate):
    """openSMILE returns only NaN for clips shorter than 0.1 s."""
    features = features_of(feature_set, sampling_rate=rate, analysis_rate=rate)
    noise = 0.1 * np.random.default_rng(0).standard_normal(rate // 10).astype(np.float32)
    for samples in (1, 10, rate // 20, rate // 10 - 1):
        vector = features(noise[:samples])
        assert np.isfinite(vector).all()
        np.testing.assert_array_equal(vector, features(np.pad(noise[:samples], (0, rate // 10 - samples))))
    assert np.abs(features(noise) - features(np.zeros(1, np.float32))).max() > 0


@sets
def test_nan_features_are_replaced_with_zero(monkeypatch, feature_set):
    """No NaN was observed for clips of at least 0.1 s, but another version of openSMILE might return one."""
    names = features_of(feature_set).names
    monkeypatch.setattr(open_smile, "SHORTEST", 0.0)
    with pytest.warns(UserWarning, match="filling with NaN"):
        vector = features_of(feature_set)(np.full(1, 0.5, np.float32))
    np.testing.assert_array_equal(vector, np.zeros((1, len(names))))


def test_missing_opensmile_error_explains_installation(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    open_smile._extractor.cache_clear()
    with pytest.raises(InputError, match=r"openSMILE.*pip install 'ser-lightning\[opensmile\]'"):
        features_of("eGeMAPSv02")
