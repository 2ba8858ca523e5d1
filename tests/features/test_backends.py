"""Tests of the native backend against librosa for every option in ``conf/features/`` that has both."""

import re
from typing import NamedTuple

import numpy as np
import pytest
from tests.features.test_every_option import OPTIONS, values_of
from tests.features.waves import WAVES

from ser_lightning.audio.audio import Audio
from ser_lightning.build import build, resolve_backends, usable_backends
from ser_lightning.errors import InputError
from ser_lightning.kernels.backend import native_is_available


class Bound(NamedTuple):
    """Tolerance between the two backends.

    Args:
        relative: relative to the largest value of the block of features (all MFCC, all mel bands, ...) in the clip
        absolute: in the unit of the feature

    """

    relative: float
    absolute: float = 0.0


BOUNDS = {
    **{option: Bound(1e-5) for option in ("paper", "released", "logmel", "functionals", "mfcc", "mfcc_chroma")},
    "kaggle": Bound(2e-5),
    "logmel_deltas": Bound(0.0, 2e-4),  # dB
    "mel": Bound(0.0, 2e-4),  # dB
    "prosody": Bound(1e-4, 2e-3),
    "spectrogram": Bound(1e-6, 1e-4),  # dB
    "stft": Bound(1e-6),
}
ROUNDING = 4 * np.finfo(np.float32).eps / 1e-5  # of a mean, divided by the relative bound of a deviation
SPEAKERS_CLIPS = 8  # evenly spaced real clips


def both(option):
    values = values_of(option)
    return [build("features", values | {"backend": backend}) for backend in ("native", "librosa")]


def differences(native, reference, wave):
    """Return the largest difference and the largest value of each block of features.

    Where the deviation is zero because all values are equal, the largest value is that of the rounding of their mean.
    """
    ours, expected = native(wave), reference(wave)
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype == np.float32
    blocks = {}
    for column, name in enumerate(native.names):
        blocks.setdefault(re.sub(r"_?\d+", "", name), []).append(column)
    largest = {block: np.abs(expected[:, columns]).max() for block, columns in blocks.items()}
    rounding = {block: ROUNDING * largest.get(f"{block.removesuffix('_std')}_mean", 0) for block in blocks}
    return {
        block: (np.abs(ours[:, columns] - expected[:, columns]).max(), largest[block] or rounding[block])
        for block, columns in blocks.items()
    }


def test_every_native_option_has_a_tolerance():
    assert BOUNDS.keys() == {option for option in OPTIONS if "backend" in values_of(option)}
    assert sorted([*BOUNDS, "compare", "egemaps", "encoder"]) == OPTIONS


@pytest.mark.parametrize("name", WAVES)
@pytest.mark.parametrize("option", BOUNDS)
def test_native_backend_matches_librosa(option, name):
    bound = BOUNDS[option]
    for block, (difference, largest) in differences(*both(option), WAVES[name]).items():
        assert difference <= bound.relative * largest + bound.absolute, block


@pytest.mark.real
@pytest.mark.parametrize("option", BOUNDS)
def test_native_backend_matches_librosa_on_real_clips(ravdess_root, option):
    bound, (native, reference) = BOUNDS[option], both(option)
    audio = Audio(
        sampling_rate=16000, downmix="mean", resampler="soxr", vad_mode=2, frame_ms=20, offset_s=None, duration_s=None
    )
    paths = sorted(ravdess_root.rglob("*.flac"))
    chosen = paths[:: len(paths) // SPEAKERS_CLIPS]
    assert len(chosen) >= SPEAKERS_CLIPS
    for path in chosen:
        for block, (difference, largest) in differences(native, reference, audio.load(path).wave).items():
            assert difference <= bound.relative * largest + bound.absolute, (path.name, block)


@pytest.mark.parametrize("option", BOUNDS)
def test_librosa_backend_handles_edge_cases(option):
    _, reference = both(option)
    noise = np.random.default_rng(0).uniform(-1, 1, 8000).astype(np.float32)
    for wave in (np.full(8000, 1e15, np.float32), noise * np.float32(1e15)):
        assert np.isfinite(reference(wave)).all()
    np.testing.assert_array_equal(reference(WAVES["vowel"]), reference(WAVES["vowel"]))


def test_auto_backend_is_native_when_available():
    assert native_is_available()
    assert build("features", values_of("logmel")).backend == "native"
    without = {key: value for key, value in values_of("logmel").items() if key != "backend"}
    assert build("features", without).backend == "native"


def test_unknown_backend_raises_input_error():
    with pytest.raises(InputError, match=r"features\.backend is 'libroza'; expected .*librosa"):
        build("features", values_of("logmel") | {"backend": "libroza"})


def test_resolve_backends_replaces_auto():
    config = {"features": {"backend": "auto"}, "augment": {"backend": "torchaudio"}, "seed": 0, "model": None}
    assert resolve_backends(config) == config | {"features": {"backend": "native"}}
    assert usable_backends(resolve_backends(config)) == resolve_backends(config)
    assert config["features"] == {"backend": "auto"}  # the input is not modified
