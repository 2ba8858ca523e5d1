"""Tests of the spectral features against librosa on edge-case, random and real signals."""

import pickle
import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parity import (
    BLOCKS,
    CLIPS,
    FEATURE_ERROR,
    RATE,
    SETTINGS,
    features_of,
    librosa_features,
    pairs_with_librosa,
    pairs_with_reference,
    read,
    relative_errors,
    released_clips,
)

from ser_lightning.errors import InputError
from ser_lightning.features import spectral
from ser_lightning.features.spectral162 import Spectral162
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
ANALYSIS_RATES = {"true_rate": 16000, "released": 22050}


def plain(wave, analysis_rate, n_chroma=12):
    """Return the features and the tuning computed by librosa, called as in the study."""
    return librosa_features(wave, analysis_rate=analysis_rate, n_chroma=n_chroma), librosa_tuning(
        wave, analysis_rate, n_chroma
    )


def librosa_tuning(wave, analysis_rate, n_chroma=12):
    with warnings.catch_warnings():
        # The tests include waves shorter than a frame and waves without pitch, of which librosa warns.
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)
        warnings.filterwarnings("ignore", message="Trying to estimate tuning", category=UserWarning)
        y = librosa.resample(wave, orig_sr=RATE, target_sr=analysis_rate, res_type="soxr_hq")
        return librosa.estimate_tuning(S=np.abs(librosa.stft(y)), sr=RATE, bins_per_octave=n_chroma)


def tuning_of(wave, analysis_rate, n_chroma=12):
    wave = spectral.resample(wave, sampling_rate=RATE, analysis_rate=analysis_rate)
    frames = spectral.frame(wave, n_fft=2048, hop_length=512)
    spectrum = spectral.magnitude(frames, spectral.periodic_window("hann", 2048))
    return estimate_tuning(spectrum, sampling_rate=RATE, n_chroma=n_chroma)


def assert_equal_blocks(features, expected):
    """Compare with a tenth of the tolerance of ``make parity``, which allows for other machines."""
    assert features.shape == expected.shape
    assert features.dtype == np.float32
    for block, error in relative_errors(features, expected).items():
        assert error <= FEATURE_ERROR / 10, block


def odd_waves():
    noise = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    pulses = np.zeros(RATE)
    pulses[:: RATE // 125] = 1  # a voice of 125 Hz with two formants
    vowel = pulses
    for formant in (700, 1200):
        pole = 0.98 * np.exp(2j * np.pi * formant / RATE)
        ring = (pole ** np.arange(400)).real
        vowel = np.convolve(vowel, ring)[:RATE]
    half_silent = np.concatenate((np.zeros(RATE // 2), np.sin(2 * np.pi * 440 * time)))
    waves = {
        "silence": np.zeros(RATE),
        "impulse": np.eye(1, RATE, 5000)[0],
        "one_sample": np.array([0.5]),
        "ten_samples": noise.standard_normal(10),
        "less_than_a_frame": noise.standard_normal(1500),
        "a_frame": noise.standard_normal(2048),
        "a_hop_less_one": noise.standard_normal(5 * 512 - 1),
        "hops": noise.standard_normal(5 * 512),
        "clipped": np.clip(3 * np.sin(2 * np.pi * 331 * time), -1, 1),
        "dc": np.full(RATE, 0.3),
        "white_noise": noise.standard_normal(RATE),
        "chirp": np.sin(2 * np.pi * (100 + 3000 * time) * time),
        "vowel": vowel / np.abs(vowel).max(),
        "half_silent": half_silent,
        "faint": 1e-6 * noise.standard_normal(RATE),
        "loud": 1e6 * noise.standard_normal(RATE),
        "more_than_a_block": noise.standard_normal(512 * 3 * spectral.BLOCK),
    }
    return {name: wave.astype(np.float32) for name, wave in waves.items()}


@pytest.mark.parametrize("analysis_rate", ANALYSIS_RATES.values(), ids=ANALYSIS_RATES)
@pytest.mark.parametrize("wave", odd_waves().values(), ids=odd_waves())
def test_spectral162_matches_librosa(wave, analysis_rate):
    expected, tuning = plain(wave, analysis_rate)
    assert_equal_blocks(Spectral162(**VALUES | {"analysis_rate": analysis_rate})(wave), expected)
    assert tuning_of(wave, analysis_rate) == tuning


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
    expected, tuning = plain(wave, RATE)
    assert_equal_blocks(Spectral162(**VALUES)(wave), expected)
    assert tuning_of(wave, RATE) == tuning


def test_chroma_and_tuning_match_librosa_with_24_classes():
    wave = odd_waves()["vowel"]
    expected, tuning = plain(wave, RATE, n_chroma=24)
    features = Spectral162(**VALUES | {"n_chroma": 24})(wave)
    np.testing.assert_allclose(features[1:25], expected[1:25], atol=1e-5)
    assert tuning_of(wave, RATE, n_chroma=24) == tuning != tuning_of(wave, RATE)


@pytest.mark.parametrize("name", ["vowel", "white_noise", "chirp"])
def test_magnitude_matches_librosa_up_to_rounding(name):
    wave = odd_waves()[name]
    spectrum = spectral.magnitude(
        spectral.frame(wave, n_fft=2048, hop_length=512), spectral.periodic_window("hann", 2048)
    )
    expected = np.abs(librosa.stft(wave)).T
    top = expected.max(axis=1, keepdims=True)
    # Both transform in double precision and round once, so they differ by at most two units in the last place, or by
    # double-precision rounding errors where a bin is much weaker than its frame.
    assert (np.abs(spectrum - expected) <= 2 * np.spacing(expected) + 1e-14 * top).all()
    assert np.mean((spectrum != expected)[expected > 0.1 * top]) < 1e-4  # these include the peaks used for tuning


def test_tuning_is_zero_without_pitch_in_range():
    assert estimate_tuning(np.ones((3, 1025), np.float32), sampling_rate=200, n_chroma=12) == 0.0


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 2048, 16000, 16383, 16384])
@pytest.mark.parametrize("analysis_rate", ANALYSIS_RATES.values(), ids=ANALYSIS_RATES)
def test_number_of_frames(samples, analysis_rate):
    wave = np.full(samples, 0.1, np.float32)
    at_analysis_rate = -(-samples * analysis_rate // RATE)  # rounded up
    features = Spectral162(**VALUES | {"analysis_rate": analysis_rate})(wave)
    assert features.shape == (162, 1 + at_analysis_rate // 512)


def test_names_match_rows():
    features = Spectral162(**VALUES)
    assert features.size == len(features.names) == len(set(features.names)) == 162
    first = {name: features.names[rows.start] for name, rows in BLOCKS.items()}
    assert first == {"zcr": "zcr", "chroma": "chroma_01", "mfcc": "mfcc_01", "rms": "rms", "mel": "mel_001"}
    assert features.names[-1] == "mel_128"
    small = Spectral162(**VALUES | {"n_chroma": 24, "n_mfcc": 13, "n_mels": 40})
    assert small.size == 79 == len(small(np.ones(4000, np.float32)))


def test_attributes_match_constructor_arguments():
    features = Spectral162(**VALUES | {"standardize": True})
    assert {name: getattr(features, name) for name in VALUES} == VALUES | {"standardize": True}


@pytest.mark.parametrize("name", ["silence", "vowel", "white_noise"])
def test_log_changes_only_mel_and_rms(name):
    wave = odd_waves()[name]
    raw, log = Spectral162(**VALUES)(wave), Spectral162(**VALUES | {"log": True})(wave)
    same = np.r_[0:33]
    np.testing.assert_array_equal(log[same], raw[same])
    decibels = {"top_db": None, "ref": 1.0, "amin": 1e-10}
    np.testing.assert_allclose(log[34:], librosa.power_to_db(raw[34:], **decibels), atol=1e-4)
    np.testing.assert_allclose(log[33], librosa.power_to_db(raw[33] ** 2, **decibels), atol=1e-4)
    assert not np.allclose(log[33:], raw[33:])


def test_features_do_not_depend_on_previous_clips():
    waves = odd_waves()
    features = Spectral162(**VALUES | {"analysis_rate": 22050})
    before = features(waves["vowel"]).tobytes()
    for other in waves.values():
        features(other)
    assert features(waves["vowel"].copy()).tobytes() == before
    travelled = pickle.loads(pickle.dumps(features))  # noqa: S301
    assert travelled(waves["vowel"]).tobytes() == before


def test_input_wave_is_not_modified():
    wave = odd_waves()["vowel"]
    wave.setflags(write=False)
    Spectral162(**VALUES)(wave)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(0, np.float32), "expected at least one sample but got an empty wave"),
        (np.zeros(100), "but got float64 of shape"),
        (np.zeros(100, np.int16), "but got int16 of shape"),
        (np.zeros((2, 100), np.float32), r"but got float32 of shape \(2, 100\)"),
        (np.array([0, np.nan, 1], np.float32), "but got a peak of nan"),
        (np.array([0, -np.inf], np.float32), "but got a peak of inf"),
        (np.array([0, 1e20], np.float32), "but got a peak of 1"),
    ],
)
def test_invalid_wave_raises_input_error(wave, message):
    with pytest.raises(InputError, match=message):
        Spectral162(**VALUES)(wave)


def test_very_loud_waves_do_not_overflow():
    noise = np.random.default_rng(0).uniform(-1, 1, 8000).astype(np.float32)
    for wave in (np.full(8000, 1e15, np.float32), noise * np.float32(1e15)):
        assert np.isfinite(Spectral162(**VALUES)(wave)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({name: 0}, f"features.{name} is 0; expected a positive whole number")
        for name, value in VALUES.items()
        if type(value) is int
    ]
    + [
        ({"n_fft": 2047}, "features.n_fft is 2047; expected an even number"),
        ({"n_mfcc": 129}, "features.n_mfcc is 129; expected at most features.n_mels, 128"),
        ({"window": "hamn"}, "features.window is 'hamn'; expected a name of"),
    ],
)
def test_invalid_values_raise_input_error(values, message):
    with pytest.raises(InputError, match=message):
        Spectral162(**VALUES | values)


@pytest.mark.parametrize("option", ["released", "paper"])
def test_gain_changes_only_level_features(option):
    """Zero-crossing rate, normalized chroma and all but the first MFCC do not depend on the gain."""
    features = features_of(option)
    wave = odd_waves()["vowel"]
    loud, soft = features(wave), features(np.float32(0.5) * wave)
    for block in ("zcr", "chroma"):
        np.testing.assert_array_equal(soft[BLOCKS[block]], loud[BLOCKS[block]])
    first, *others = range(*BLOCKS["mfcc"].indices(162))
    np.testing.assert_allclose(soft[others], loud[others], atol=1e-3)
    for level in (first, BLOCKS["rms"], BLOCKS["mel"]):
        assert not np.allclose(soft[level], loud[level], rtol=0.1)


@pytest.mark.real
@pytest.mark.parametrize("option", SETTINGS)
def test_spectral162_matches_reference_values(reference_root, option):
    number = 0
    for features, expected in pairs_with_reference(reference_root, option):
        assert_equal_blocks(features, expected)
        number += 1
    assert number == 8


@pytest.mark.real
@pytest.mark.parametrize("option", SETTINGS)
def test_spectral162_matches_librosa_on_real_clips(reference_root, option):
    number = 0
    for features, expected in pairs_with_librosa(reference_root, option):
        assert_equal_blocks(features, expected)
        number += 1
    assert number == CLIPS


@pytest.mark.real
@pytest.mark.parametrize("option", SETTINGS)
def test_tuning_matches_librosa_on_real_clips(reference_root, option):
    rate = features_of(option).analysis_rate
    for path in released_clips(reference_root):
        wave = read(path)
        assert tuning_of(wave, rate) == librosa_tuning(wave, rate), path.name
