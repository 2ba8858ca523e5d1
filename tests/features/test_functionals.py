"""Tests of statistics over time against NumPy, SciPy and the Kaggle notebooks."""

import librosa
import numpy as np
import pytest
import scipy.stats
from tests.configs import composed
from tests.features.test_spectral import VALUES
from tests.features.waves import FEW_WAVES, WAVES

from ser_lightning.build import build
from ser_lightning.features.functionals import Functionals
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.features.statistics import FUNCTIONALS, functional_names, summarize

REFERENCE = {
    "mean": lambda x: np.mean(x, axis=0),
    "std": lambda x: np.std(x, axis=0),
    "min": lambda x: np.min(x, axis=0),
    "max": lambda x: np.max(x, axis=0),
    "median": lambda x: np.median(x, axis=0),
    "iqr": lambda x: scipy.stats.iqr(x, axis=0),
    "skewness": lambda x: scipy.stats.skew(x, axis=0),
    "kurtosis": lambda x: scipy.stats.kurtosis(x, axis=0),
}


@pytest.mark.parametrize("functional", FUNCTIONALS)
@pytest.mark.parametrize("frames", [2, 3, 100])
def test_functionals_match_numpy_and_scipy(functional, frames):
    rows = np.random.default_rng(0).gamma(2, size=(frames, 5)).astype(np.float32)
    expected = REFERENCE[functional](rows.astype(np.float64))
    np.testing.assert_allclose(summarize(rows, [functional]), expected, rtol=1e-5, atol=1e-6)


def test_every_functional_has_a_reference():
    assert FUNCTIONALS.keys() == REFERENCE.keys()


@pytest.mark.parametrize("frames", [1, 7])
def test_constant_rows_have_zero_spread_and_shape(frames):
    rows = np.full((frames, 1), 0.1, np.float32)
    values = dict(zip(FUNCTIONALS, summarize(rows, list(FUNCTIONALS)), strict=True))
    assert values == {
        name: (np.float32(0.1) if name in {"mean", "min", "max", "median"} else 0) for name in FUNCTIONALS
    }


def test_output_is_ordered_by_functional():
    rows = np.array([[1, 10], [3, 50]], np.float32)
    np.testing.assert_array_equal(summarize(rows, ["mean", "max"]), [2, 30, 3, 50])
    assert functional_names(("a", "b"), ("mean", "max")) == ("a_mean", "b_mean", "a_max", "b_max")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("name", FEW_WAVES)
def test_functionals_summarize_spectral162(name, log):
    wave, values = WAVES[name], VALUES | {"log": log}
    features = Functionals(**values, functionals=["std", "mean"])
    frames = Spectral162(**values)(wave).astype(np.float64)
    vector = features(wave)
    assert vector.shape == (1, 324)
    np.testing.assert_allclose(vector[0, :162], frames.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(vector[0, 162:], frames.mean(axis=0), rtol=1e-5, atol=1e-7)
    assert features.names[0] == "zcr_std"
    assert features.names[162:] == tuple(f"{name}_mean" for name in Spectral162(**values).names)


def test_gain_does_not_change_zcr_and_chroma_functionals():
    values = VALUES | {"functionals": list(FUNCTIONALS)}
    loud, soft = (
        dict(zip(Functionals(**values).names, Functionals(**values)(gain * WAVES["vowel"])[0], strict=True))
        for gain in (np.float32(1), np.float32(0.5))
    )
    deaf = [name for name in loud if name.startswith(("zcr", "chroma"))]
    assert len(deaf) == 13 * len(FUNCTIONALS)
    assert [loud[name] for name in deaf] == [soft[name] for name in deaf]
    assert loud["rms_mean"] == pytest.approx(2 * soft["rms_mean"])


def of_the_notebook(y, sr):
    """Return the 162 means, written as in the notebooks."""
    blocks = [
        librosa.feature.zero_crossing_rate(y=y),
        librosa.feature.chroma_stft(S=np.abs(librosa.stft(y)), sr=sr),
        librosa.feature.mfcc(y=y, sr=sr),
        librosa.feature.rms(y=y),
        librosa.feature.melspectrogram(y=y, sr=sr),
    ]
    return np.hstack([np.mean(block.T, axis=0) for block in blocks])


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)':DeprecationWarning")  # imported by librosa.load
def test_kaggle_features_match_notebooks_on_ravdess(ravdess_root):
    config = composed("audio=kaggle", "features=kaggle")
    audio, features = (build(part, config[part]) for part in ("audio", "features"))
    paths = sorted(ravdess_root.rglob("*.flac"))[::97]
    assert len(paths) > 10
    for path in paths:
        wave, rate = librosa.load(path, duration=2.5, offset=0.6)
        expected = of_the_notebook(wave, rate)
        vector = features(audio.load(path).wave)[0]
        for rows in (slice(0, 1), slice(1, 13), slice(13, 33), slice(33, 34), slice(34, 162)):
            scale = np.abs(expected[rows]).max()
            np.testing.assert_allclose(vector[rows], expected[rows], atol=2e-5 * scale, err_msg=path.name)
