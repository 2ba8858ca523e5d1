"""SpectrogramAugment warps, masks and mixes spectrograms by the amounts of its options."""

import numpy as np
import pytest

from ser_lightning.augment.spectrogram import SpectrogramAugment, warp
from ser_lightning.errors import InputError

OFF = {"time_warp": 0.0, "frequency_warp": 0.0, "gain_db": 0.0, "masks": None, "mixup": None}
MASKS = {"frequency_masks": 2, "frequency_width": 15, "time_masks": 2, "time_width": 1000, "time_share": 0.12}
LENGTHS = np.array([100, 80, 60])


@pytest.fixture
def frames() -> np.ndarray:
    batch = np.random.default_rng(0).normal(size=(3, 100, 40)).astype(np.float32)
    batch *= np.arange(100)[:, None] < LENGTHS[:, None, None]
    return batch


def augmented(frames: np.ndarray, *, seed: int = 0, **values: object):
    augment = SpectrogramAugment(**{**OFF, **values})
    return augment.augment_batch(frames, LENGTHS, mean=np.zeros(40, np.float32), generator=np.random.default_rng(seed))


def test_warp_moves_events_in_time_and_frequency():
    frames = np.zeros((101, 40), np.float32)
    frames[50, 20] = 1.0
    slow = warp(frames, rate=0.5, stretch=1.0)
    assert slow.shape == (202, 40)
    assert np.unravel_index(slow.argmax(), slow.shape)[0] in (100, 101)
    high = warp(frames, rate=1.0, stretch=1.25)
    assert np.unravel_index(high.argmax(), high.shape) == (50, 25)
    assert np.array_equal(warp(frames, rate=1.0, stretch=1.0), frames)


def test_warp_interpolates_linearly():
    ramp = np.repeat(np.arange(11.0, dtype=np.float32)[:, None], 3, axis=1)
    assert np.allclose(warp(ramp, rate=0.5, stretch=1.0)[:, 0], np.linspace(0, 10, 22), atol=1e-5)
    assert np.allclose(warp(ramp.T.copy(), rate=1.0, stretch=2.0)[0], np.arange(11) / 2, atol=1e-5)


def test_clip_of_one_frame_stays():
    one = np.ones((1, 40), np.float32)
    assert np.array_equal(warp(one, rate=1.12, stretch=1.0), one)


def test_nothing_changes_without_options(frames):
    batch = augmented(frames)
    assert np.array_equal(batch.frames, frames)
    assert np.array_equal(batch.lengths, LENGTHS)
    assert batch.partner is None


@pytest.mark.parametrize(
    "values", [{"time_warp": 0.12}, {"frequency_warp": 0.08}, {"gain_db": 6.0}, {"masks": MASKS}, {"mixup": 0.3}]
)
def test_every_option_changes_the_batch_as_the_generator_says(frames, values):
    before = frames.copy()
    batch = augmented(frames, **values)
    again, other = augmented(frames, **values), augmented(frames, seed=1, **values)
    assert np.array_equal(frames, before)
    assert np.array_equal(batch.frames, again.frames)
    assert batch.frames.shape != frames.shape or not np.allclose(batch.frames, frames)
    assert batch.frames.shape != other.frames.shape or not np.allclose(batch.frames, other.frames)
    padding = np.arange(batch.frames.shape[1]) >= batch.lengths[:, None]
    assert not batch.frames[padding].any()


def test_amounts_stay_within_the_options(frames):
    lengths = np.array([augmented(frames, seed=seed, time_warp=0.12).lengths for seed in range(50)])
    assert (lengths >= np.floor(LENGTHS / 1.12)).all()
    assert (lengths <= np.ceil(LENGTHS / 0.88)).all()
    assert np.ptp(lengths, axis=0).min() > 5
    gains = np.array([(augmented(frames, seed=seed, gain_db=6.0).frames - frames)[:, 0, 0] for seed in range(50)])
    assert np.abs(gains).max() <= 6.0001
    assert np.abs(gains).max() > 5


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"time_warp": 1.0}, "time_warp"),
        ({"frequency_warp": -0.1}, "frequency_warp"),
        ({"gain_db": float("inf")}, "gain_db"),
        ({"masks": {"width": 3}}, "masks"),
        ({"masks": {**MASKS, "time_share": 2.0}}, "time_share"),
        ({"mixup": 0.0}, "alpha"),
    ],
)
def test_wrong_values_are_named(values, key):
    with pytest.raises(InputError, match=key):
        SpectrogramAugment(**{**OFF, **values})
