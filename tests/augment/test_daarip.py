"""Tests of DAARIP, which augments features as images formed by a thin lens."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ser_lightning.augment.daarip import Daarip, resizing
from ser_lightning.errors import InputError

VALUES = {
    **{"focal_length": 1.0, "nearest": 1.5, "farthest": 6.0, "images": 40, "frames": 64},
    **{"interpolation": "linear"},
}


def picture(frames: int = 50, size: int = 40) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((frames, size)).astype(np.float32)


def test_magnifications_satisfy_lens_equation():
    f = 0.7
    lens = Daarip(**VALUES | {"focal_length": f, "nearest": 0.8, "farthest": 4.2, "images": 11})
    distances = f * (1 + 1 / lens.magnifications)
    assert distances[[0, -1]] == pytest.approx([0.8, 4.2])
    assert np.diff(lens.magnifications) == pytest.approx([-(0.7 / 0.1 - 0.7 / 3.5) / 10] * 10)
    for u, m in zip(distances, lens.magnifications, strict=True):
        v = m * u  # image distance at magnification m
        assert 1 / f == pytest.approx(1 / u + 1 / v)
        assert (m > 1) == (u < 2 * f)
        assert (m < 1) == (u > 2 * f)
    assert Daarip(**VALUES | {"nearest": 2.0}).magnifications[0] == pytest.approx(1)  # at 2f


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(("old", "new"), [(5, 13), (13, 5), (7, 7), (1, 4), (4, 1), (162, 32), (60, 64)])
def test_resizing_matches_torch_interpolate(mode, old, new):
    name = {"linear": "linear", "nearest": "nearest-exact"}[mode]
    theirs = F.interpolate(torch.eye(old)[None], new, mode=name)[0].T
    np.testing.assert_allclose(resizing(old, new, mode), theirs, atol=2e-5)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_copies_match_features_resized_twice(mode):
    x = picture()
    made = Daarip(**VALUES | {"interpolation": mode}).augment_features(x, utterance="a")
    name = {"linear": "bilinear", "nearest": "nearest-exact"}[mode]
    assert list(made) == [f"image{n:02d}" for n in range(1, 41)]
    for copy, m in zip(made.values(), np.linspace(2, 0.2, 40), strict=True):
        image = F.interpolate(torch.from_numpy(x)[None, None], (round(m * 50), round(m * 40)), mode=name)
        expected = F.interpolate(image, (64, 40), mode=name)[0, 0]
        np.testing.assert_allclose(copy, expected, atol=2e-5)
        assert copy.shape == (64, 40)
        assert copy.dtype == np.float32


def test_only_distant_images_lose_detail():
    lens = Daarip(**VALUES | {"frames": 50, "nearest": 1.2})
    made = list(lens.augment_features(picture(), utterance="a").values())
    power = [float(np.square(copy).mean()) for copy in made]
    assert power[0] > 0.9 * np.square(picture()).mean()  # magnified five times
    errors = [np.square(copy - picture()).mean() for copy in made]
    assert errors[0] < 0.1
    assert min(errors[-5:]) > 0.5


def test_images_are_deterministic_and_do_not_modify_features():
    x = picture()
    before = x.copy()
    x.flags.writeable = False
    one, two = (Daarip(**VALUES).augment_features(x, utterance=id_) for id_ in "ab")
    np.testing.assert_array_equal(x, before)
    assert all(np.array_equal(copy, two[name]) for name, copy in one.items())
    assert len({copy.tobytes() for copy in one.values()}) == 40


@pytest.mark.parametrize(("frames", "size"), [(1, 162), (30, 1), (1, 1)])
def test_features_with_one_row_or_frame_are_supported(frames, size):
    made = Daarip(**VALUES).augment_features(picture(frames, size), utterance="a")
    assert {copy.shape for copy in made.values()} == {(64, size)}
    assert all(np.isfinite(copy).all() for copy in made.values())


@pytest.mark.parametrize(
    "change",
    [
        {"focal_length": 1.2},
        {"nearest": 1.8},
        {"farthest": 5.0},
        {"images": 20},
        {"frames": 32},
        {"interpolation": "nearest"},
    ],
)
def test_every_parameter_has_an_effect(change):
    one, two = (Daarip(**VALUES | values).augment_features(picture(), utterance="a") for values in ({}, change))
    assert not all(np.array_equal(copy, two.get(name)) for name, copy in one.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nearest": 1.0}, "an object within the focal length has no real image"),
        ({"focal_length": 0.0}, "three increasing lengths"),
        ({"farthest": 1.4}, "three increasing lengths"),
        ({"farthest": float("inf")}, "three increasing lengths"),
        ({"images": 0}, r"augment\.images is 0; expected at least 1"),
        ({"frames": 0}, r"augment\.frames is 0"),
        ({"interpolation": "cubic"}, r"augment\.interpolation is 'cubic'; expected linear or nearest"),
    ],
)
def test_invalid_values_raise_input_error(change, message):
    with pytest.raises(InputError, match=message):
        Daarip(**VALUES | change)
