"""Tests of batch augmentation: SpecAugment and mixup."""

import numpy as np
import pytest
import torch
from scipy import stats

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.augment.mixup import Mixup
from ser_lightning.augment.spec_augment import SpecAugment
from ser_lightning.errors import InputError

ROWS, LONGEST = 30, 50
MASKS = {"frequency_masks": 2, "frequency_width": 9, "time_masks": 2, "time_width": 20, "time_share": 0.2}
MEAN = np.arange(ROWS, dtype=np.float32) - 100


def batch(clips: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, LONGEST, clips)
    lengths[0] = LONGEST
    frames = rng.standard_normal((clips, LONGEST, ROWS)).astype(np.float32)
    frames *= np.arange(LONGEST)[:, None] < lengths[:, None, None]
    frames.flags.writeable = False
    return frames, lengths


def augment_batch(augment, seed: int = 0, clips: int = 64) -> AugmentedBatch:
    return call(augment, *batch(clips), mean=MEAN, seed=seed)


def call(augment, frames: np.ndarray, lengths: np.ndarray, *, mean: np.ndarray, seed: int) -> AugmentedBatch:
    """Return an augmented batch with its features as an array."""
    before = torch.from_numpy(frames.copy())
    augmented = augment.augment_batch(
        before, lengths, mean=torch.from_numpy(mean), generator=np.random.default_rng(seed)
    )
    np.testing.assert_array_equal(before.numpy(), frames)
    return augmented._replace(features=augmented.features.numpy())


BOTH = pytest.mark.parametrize("augment", [SpecAugment(**MASKS), Mixup(alpha=0.5)], ids=["spec_augment", "mixup"])


@BOTH
def test_result_depends_on_generator(augment):
    one, two, other = augment_batch(augment), augment_batch(augment), augment_batch(augment, seed=1)
    np.testing.assert_array_equal(one.features, two.features)
    assert not np.array_equal(one.features[:, : other.features.shape[1]], other.features[:, : one.features.shape[1]])
    assert one.features.dtype == np.float32
    assert one.lengths.dtype == np.int64


@BOTH
def test_padding_stays_zero(augment):
    for seed in range(5):
        augmented = augment_batch(augment, seed)
        assert augmented.features.shape[1] == augmented.lengths.max()
        for clip, length in zip(augmented.features, augmented.lengths, strict=True):
            assert not clip[length:].any()
            assert clip[:length].any()


# ---------------------------------------------------------------------- SpecAugment


def masks(augment: SpecAugment, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fully masked rows (B, F), the fully masked frames (B, K) and all masked values (B, K, F)."""
    frames, lengths = batch()
    augmented = augment_batch(augment, seed)
    assert augmented.partners is None
    np.testing.assert_array_equal(augmented.lengths, lengths)
    changed = augmented.features != frames
    assert np.array_equal(augmented.features[changed], np.broadcast_to(MEAN, frames.shape)[changed])
    real = np.arange(LONGEST) < lengths[:, None]
    rows = (changed | ~real[:, :, None]).all(1)
    return rows, changed.all(2), changed


def test_masks_cover_only_complete_rows_and_frames():
    for seed in range(3):
        rows, frames, changed = masks(SpecAugment(**MASKS), seed)
        real = np.arange(LONGEST) < batch()[1][:, None]
        np.testing.assert_array_equal(changed, (rows[:, None] & real[:, :, None]) | frames[:, :, None])


def test_mask_widths_are_uniform_below_limit():
    rows, frames, widths = [], [], range(9)
    for seed in range(60):
        one = SpecAugment(**MASKS | {"frequency_masks": 1, "time_masks": 1, "time_share": 1.0, "time_width": 9})
        bands, spans, _ = masks(one, seed)
        long = batch()[1] >= 20
        rows += bands[long].sum(1).tolist()
        frames += spans[long].sum(1).tolist()
    for found in (rows, frames):
        assert set(found) == set(widths)
        assert stats.chisquare(np.bincount(found)).pvalue > 1e-3
    assert len(rows) > 1000


def test_frequency_mask_starts_are_uniform():
    starts = []
    for seed in range(100):
        bands, _, _ = masks(SpecAugment(**MASKS | {"frequency_masks": 1, "time_masks": 0}), seed)
        starts += [int(band.argmax()) for band in bands if band.sum() == 8]  # the largest of nine widths
    assert set(starts) == set(range(ROWS - 8))
    counts = np.bincount(starts)[:-1]  # the last start is rarer, because the width is drawn as a real number
    assert stats.chisquare(counts).pvalue > 1e-3


def test_masks_differ_between_clips_of_a_batch():
    bands, spans, _ = masks(SpecAugment(**MASKS | {"time_share": 1.0}), seed=0)
    assert len(np.unique(bands, axis=0)) > 40
    assert len(np.unique(spans, axis=0)) > 40


def test_spec_augment_keeps_torch_random_state():
    before = torch.random.get_rng_state()
    augment_batch(SpecAugment(**MASKS))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_spec_augment_ignores_torch_seed():
    torch.manual_seed(1)
    one = augment_batch(SpecAugment(**MASKS)).features
    torch.manual_seed(2)
    np.testing.assert_array_equal(augment_batch(SpecAugment(**MASKS)).features, one)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_time_masks_respect_time_share(share):
    one = SpecAugment(**MASKS | {"time_masks": 1, "time_share": share, "frequency_masks": 0})
    lengths = batch()[1]
    widest = np.zeros(len(lengths))
    for seed in range(100):
        _, spans, _ = masks(one, seed)
        widest = np.maximum(widest, spans.sum(1))
    limit = np.maximum(np.minimum(20, np.floor(share * lengths)) - 1, 0) if share < 1 else np.minimum(19, lengths)
    assert (widest <= limit).all()
    assert (widest == limit).mean() > 0.8


def test_mean_masked_share_matches_expectation():
    share = np.mean([masks(SpecAugment(**MASKS | {"time_masks": 0}), seed)[0].mean() for seed in range(100)])
    once = np.mean([w / ROWS for w in range(9)])
    assert 1.7 * once < share < 2 * once  # two masks, which sometimes overlap


@pytest.mark.parametrize(
    "change",
    [
        {"frequency_masks": 1},
        {"frequency_width": 3},
        {"time_masks": 1},
        {"time_width": 2},
        {"time_share": 0.1},
    ],
)
def test_every_spec_augment_parameter_has_an_effect(change):
    assert not np.array_equal(
        augment_batch(SpecAugment(**MASKS | change)).features, augment_batch(SpecAugment(**MASKS)).features
    )


def test_zero_masks_leave_batch_unchanged():
    nothing = SpecAugment(**MASKS | {"frequency_masks": 0, "time_masks": 0})
    np.testing.assert_array_equal(augment_batch(nothing).features, batch()[0])


def test_frequency_width_may_exceed_number_of_rows():
    assert np.isfinite(augment_batch(SpecAugment(**MASKS | {"frequency_width": 1000})).features).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_share": 1.1}, r"augment\.time_share is 1\.1; expected a number from 0 to 1"),
        *(({name: -1}, rf"augment\.{name} is -1") for name in list(MASKS)[:4]),
    ],
)
def test_invalid_spec_augment_values_raise_input_error(change, message):
    with pytest.raises(InputError, match=message):
        SpecAugment(**MASKS | change)


# ---------------------------------------------------------------------- mixup


def test_mixup_matches_manual_computation():
    frames = np.zeros((2, 4, 1), np.float32)
    frames[0, :, 0], frames[1, :2, 0] = [1, 2, 3, 4], [10, 20]
    seed = next(s for s in range(99) if (augment_two(frames, s).partners == [1, 0]).all())
    augmented = augment_two(frames, seed)
    own, other = augmented.shares[0], 1 - augmented.shares[0]
    mean = 7.0  # contributed by the second clip after its end
    longest = [own * 1 + other * 10, own * 2 + other * 20, own * 3 + other * mean, own * 4 + other * mean]
    assert augmented.lengths.tolist() == [round(own * 4 + other * 2), round(own * 2 + other * 4)]
    for clip, length, (one, two) in zip(
        augmented.features, augmented.lengths, ((own, other), (other, own)), strict=True
    ):
        expected = [one * 1 + two * 10, one * 2 + two * 20, one * 3 + two * mean, one * 4 + two * mean][:length]
        np.testing.assert_allclose(clip[:length, 0], expected, rtol=1e-6)
    assert longest[0] == pytest.approx(float(augmented.features[0, 0, 0]))


def augment_two(frames: np.ndarray, seed: int):
    mean = np.array([7.0], np.float32)
    return call(Mixup(alpha=1.0), frames, np.array([4, 2]), mean=mean, seed=seed)


def test_mixup_mixes_batch_with_its_permutation():
    frames, lengths = batch()
    augmented = augment_batch(Mixup(alpha=0.5))
    assert sorted(augmented.partners) == list(range(len(frames)))
    whole = np.where(np.arange(LONGEST)[:, None] < lengths[:, None, None], frames, MEAN)
    expected = augmented.shares[0] * whole + (1 - augmented.shares[0]) * whole[augmented.partners]
    for clip, length, sum_ in zip(augmented.features, augmented.lengths, expected, strict=True):
        np.testing.assert_allclose(clip[:length], sum_[:length], rtol=1e-4, atol=1e-4)
    exact = augmented.shares[0] * lengths + (1 - augmented.shares[0]) * lengths[augmented.partners]
    assert np.abs(augmented.lengths - exact).max() <= 0.5


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_shares_follow_beta_distribution(alpha):
    shares = [augment_batch(Mixup(alpha=alpha), seed, clips=2).shares[0] for seed in range(400)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert stats.kstest(shares, stats.beta(2 * alpha, 2 * alpha).cdf).pvalue < 1e-3


@pytest.mark.parametrize("alpha", [0, -1, float("inf"), float("nan")])
def test_invalid_alpha_raises_input_error(alpha):
    with pytest.raises(InputError, match=r"augment\.alpha is .*; expected a positive number"):
        Mixup(alpha=alpha)
