"""Tests of every option in ``conf/features/``: named rows, finite values, and parameters that have an effect."""

import pickle

import numpy as np
import pytest
from tests.configs import composed
from tests.features.waves import WAVES

from ser_lightning.build import build, config_folder
from ser_lightning.errors import InputError

OPTIONS = sorted(
    path.stem
    for path in (config_folder() / "features").glob("*.yaml")
    if path.stem != "huggingface"  # needs an encoder; see test_huggingface.py
)
VECTORS = {"kaggle", "functionals", "prosody", "compare", "egemaps", "encoder"}
SLOW = {"compare", "egemaps", "encoder"}  # 0.1 s per clip
FEW = ("silence", "one_sample", "clipped", "dc", "vowel")
# Another valid value of each key, which changes the features or their shape.
OTHERS = {
    **{"sampling_rate": 8000, "analysis_rate": 12000, "filterbank_rate": 12000, "n_fft": 1024, "win_length": 200},
    **{"hop_length": 100, "window": "blackman", "n_chroma": 24, "n_mfcc": 7, "n_mels": 50, "log": None},
    **{"center": None, "bins": 5, "scale": "power", "delta_frames": 3, "signal_length": 9000},
    **{"functionals": ["kurtosis"], "pitch_floor": 150.0, "pitch_ceiling": 110.0, "n_formants": 2, "max_formants": 4},
    **{"formant_ceiling": 4000.0, "feature_set": None, "standardize": None},
    **{"layers": [4], "pooling": "frames", "crop": None},
}
SETS = {"ComParE_2016": "eGeMAPSv02", "eGeMAPSv02": "ComParE_2016"}


def values_of(option):
    return composed(f"features={option}", "audio=untrimmed")["features"]


def waves_for(option):
    return {name: WAVES[name] for name in (FEW if option in SLOW else WAVES)}


@pytest.fixture(scope="module", params=OPTIONS)
def option(request):
    return request.param


def test_all_options_are_found():
    assert set(OPTIONS) > VECTORS


def test_features_are_named_and_finite_for_odd_waves(option):
    features = build("features", values_of(option))
    assert features.size == len(features.names) == len(set(features.names))
    for name, wave in waves_for(option).items():
        matrix = features(wave)
        assert matrix.dtype == np.float32, name
        assert matrix.flags.c_contiguous, name
        assert matrix.shape == (len(matrix), features.size), name
        assert len(matrix) == 1 or (len(matrix) and option not in VECTORS), name
        assert np.isfinite(matrix).all(), name


def test_features_do_not_depend_on_previous_clips(option):
    features = build("features", values_of(option))
    wave = WAVES["vowel"]
    before = features(wave).tobytes()
    for other in waves_for(option).values():
        features(other)
    assert features(wave.copy()).tobytes() == before
    unpickled = pickle.loads(pickle.dumps(features))  # noqa: S301
    assert unpickled(wave).tobytes() == before


def test_very_loud_waves_do_not_overflow(option):
    noise = np.random.default_rng(0).uniform(-1, 1, 8000).astype(np.float32)
    for wave in (np.full(8000, 1e15, np.float32), noise * np.float32(1e15)):
        assert np.isfinite(build("features", values_of(option))(wave)).all()


INVALID = [
    np.zeros(0, np.float32),
    np.zeros(100),
    np.zeros(100, np.int16),
    np.zeros((2, 100), np.float32),
    np.array([0, np.nan], np.float32),
    np.array([0, -np.inf], np.float32),
    np.array([0, 1e20], np.float32),
]


def test_invalid_wave_raises_input_error(option):
    features = build("features", values_of(option))
    for wave in INVALID:
        with pytest.raises(InputError, match="but got"):
            features(wave)


def other_values(option):
    values = values_of(option)
    if values["_target_"].endswith("OpenSmile"):
        return {**values, "feature_set": SETS[values["feature_set"]], "analysis_rate": 12000, "sampling_rate": 8000}
    return {
        key: (not value if isinstance(value, bool) else OTHERS[key]) for key, value in values.items() if key in OTHERS
    }


NO_KNOBS = ("_target_", "standardize", "backend")


def knobs(option):
    return [key for key in values_of(option) if key not in NO_KNOBS]


def test_every_parameter_has_an_effect(option):
    values = values_of(option)
    # A voice for the pitch and formant trackers, and noise for energy in every bin.
    rng = np.random.default_rng(0)
    wave = WAVES["vowel"] + np.float32(0.01) * rng.standard_normal(len(WAVES["vowel"])).astype(np.float32)
    before = build("features", values)(wave)
    for key in knobs(option):
        after = build("features", values | {key: other_values(option)[key]})(wave)
        assert before.shape != after.shape or not np.allclose(before, after, rtol=1e-4), key


COUNTS = ("sampling_rate", "analysis_rate", "n_fft", "hop_length", "win_length", "bins", "n_mfcc", "n_mels")
COUNTS += ("delta_frames", "signal_length", "n_formants", "max_formants", "filterbank_rate")


def test_counts_below_one_raise_input_error(option):
    for key in set(knobs(option)) & set(COUNTS):
        with pytest.raises(InputError, match=f"features.{key} is 0"):
            build("features", values_of(option) | {key: 0})


REFUSED = [
    ("stft", {"n_fft": 255}, "features.n_fft is 255; .*even"),
    ("stft", {"win_length": 257}, "features.win_length is 257; .*features.n_fft, 256"),
    ("stft", {"bins": 130}, "features.bins is 130; .*129"),
    ("stft", {"scale": "decibel"}, "features.scale is 'decibel'; .*'decibels'"),
    ("stft", {"window": "hamn"}, "features.window is 'hamn'"),
    ("logmel", {"n_mfcc": 129}, "features.n_mfcc is 129; .*features.n_mels, 128"),
    ("mfcc", {"n_mfcc": 129}, "features.n_mfcc is 129; .*features.n_mels, 128"),
    ("mfcc", {"n_chroma": -1}, "features.n_chroma is -1"),
    ("functionals", {"functionals": []}, r"features.functionals is \[\]"),
    ("functionals", {"functionals": ["mean", "mean"]}, "features.functionals is .*each once"),
    ("functionals", {"functionals": ["means"]}, "features.functionals is 'means'; .*'mean'"),
    ("prosody", {"pitch_floor": 0.0}, "features.pitch_floor is 0.0"),
    ("prosody", {"pitch_floor": 600.0}, "features.pitch_floor is 600.0; .*features.pitch_ceiling"),
    ("prosody", {"pitch_ceiling": 8001.0}, "features.pitch_ceiling is 8001.0; .*features.analysis_rate, 8000.0"),
    ("prosody", {"formant_ceiling": 8001.0}, "features.formant_ceiling is 8001.0; .*features.analysis_rate"),
    ("prosody", {"formant_ceiling": float("nan")}, "features.formant_ceiling is nan"),
    ("prosody", {"n_formants": 6}, "features.n_formants is 6; .*features.max_formants, 5"),
    ("prosody", {"functionals": ["slope"]}, "features.functionals is 'slope'"),
    ("compare", {"feature_set": "compare"}, "features.feature_set is 'compare'; .*ComParE_2016, eGeMAPSv02"),
]


@pytest.mark.parametrize(("option", "change", "message"), REFUSED)
def test_invalid_values_raise_input_error(option, change, message):
    with pytest.raises(InputError, match=message):
        build("features", values_of(option) | change)
