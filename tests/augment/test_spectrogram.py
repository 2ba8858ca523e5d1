"""SpectrogramAugment warps, masks and mixes spectrograms by the amounts of its options."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchaudio.functional import mask_along_axis_iid

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.augment.batch_changes import BatchChanges
from ser_lightning.augment.spec_augment import SpecAugment
from ser_lightning.augment.spectrogram import SpectrogramAugment
from ser_lightning.errors import InputError

OFF = {"time_warp": 0.0, "frequency_warp": 0.0, "gain_db": 0.0, "masks": None, "mixup": None}
MASKS = {"frequency_masks": 2, "frequency_width": 15, "time_masks": 2, "time_width": 1000, "time_share": 0.12}
ALL = {"time_warp": 0.12, "frequency_warp": 0.08, "gain_db": 6.0, "masks": MASKS, "mixup": 0.3}
LENGTHS = np.array([100, 80, 60])


@pytest.fixture
def frames() -> np.ndarray:
    batch = np.random.default_rng(0).normal(size=(3, 100, 40)).astype(np.float32)
    batch *= np.arange(100)[:, None] < LENGTHS[:, None, None]
    return batch


def augmented(frames: np.ndarray, *, seed: int = 0, **values: object) -> AugmentedBatch:
    augment = SpectrogramAugment(**{**OFF, **values})
    generator = np.random.default_rng(seed)
    batch = augment.augment_batch(torch.from_numpy(frames), LENGTHS, mean=torch.zeros(40), generator=generator)
    return batch._replace(features=batch.features.numpy())


def warp(frames: np.ndarray, *, rate: float, stretch: float) -> np.ndarray:
    """Return one clip (K, F) at another rate, and stretched along frequency."""
    lengths = np.array([len(frames)])
    warped = np.maximum(1, np.rint(lengths / rate)).astype(np.int64)
    changes = replace(
        BatchChanges.none(lengths), warped_lengths=warped, mixed_lengths=warped, stretches=np.array([stretch])
    )
    return changes.apply(torch.from_numpy(frames[None]), mean=torch.zeros(frames.shape[1]))[0].numpy()


def reference(
    frames: np.ndarray, lengths: np.ndarray, *, mean: np.ndarray, generator: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Return the clips, partners and share of a batch with ALL options, computed clip by clip in double precision."""
    rates, stretches = (1 + generator.uniform(-ALL[n], ALL[n], len(frames)) for n in ("time_warp", "frequency_warp"))
    gains = generator.uniform(-ALL["gain_db"], ALL["gain_db"], len(frames))
    rows, clips = np.arange(frames.shape[2]), []
    for clip, length, rate, stretch, gain in zip(frames, lengths, rates, stretches, gains, strict=True):
        times = np.linspace(0, length - 1, max(1, round(length / rate)))
        warped = np.stack([np.interp(times, np.arange(length), row) for row in clip[:length].T], axis=1)
        clips.append(np.stack([np.interp(rows / stretch, rows, frame) for frame in warped]) + gain)
    count = np.array([len(clip) for clip in clips])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator.integers(2**63)))
        kept = torch.ones(len(clips), len(rows), 1)
        for _ in range(MASKS["frequency_masks"]):
            kept = mask_along_axis_iid(kept, MASKS["frequency_width"], 0.0, axis=1)
        for clip, hidden in zip(clips, kept[:, :, 0].numpy() == 0, strict=True):
            clip[:, hidden] = mean[hidden]
        for length in np.unique(count).tolist():
            part = torch.ones(int((count == length).sum()), 1, length)
            for _ in range(MASKS["time_masks"]):
                part = mask_along_axis_iid(part, MASKS["time_width"], 0.0, axis=2, p=MASKS["time_share"])
            for row, hidden in zip(np.flatnonzero(count == length), part[:, 0].numpy() == 0, strict=True):
                clips[row][hidden] = mean
    share, partners = float(generator.beta(ALL["mixup"], ALL["mixup"])), generator.permutation(len(clips))
    mixed = np.rint(share * count + (1 - share) * count[partners]).astype(int)
    padded = [np.concatenate([clip, np.broadcast_to(mean, (count.max(), len(mean)))]) for clip in clips]
    return (
        [
            share * padded[i][:n] + (1 - share) * padded[p][:n]
            for i, (p, n) in enumerate(zip(partners, mixed, strict=True))
        ],
        partners,
        share,
    )


@pytest.fixture(scope="module")
def batches() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of decibels: frames, lengths and means; some lengths are equal."""
    generator, found = np.random.default_rng(1), []
    for clips in (16, 9):
        lengths = np.append(generator.integers(1, 60, clips - 3), [60, 60, 7])
        frames = generator.normal(-40, 15, (clips, 60, 40)).astype(np.float32)
        frames *= np.arange(60)[:, None] < lengths[:, None, None]
        found.append((frames, lengths, generator.normal(-40, 5, 40).astype(np.float32)))
    return found


def test_batch_equals_the_computation_clip_by_clip(batches):
    augment = SpectrogramAugment(**ALL)
    for seed, (frames, lengths, mean) in enumerate(batches * 2):
        generator = np.random.default_rng(seed)
        batch = augment.augment_batch(
            torch.from_numpy(frames), lengths, mean=torch.from_numpy(mean), generator=generator
        )
        clips, partners, share = reference(frames, lengths, mean=mean, generator=np.random.default_rng(seed))
        np.testing.assert_array_equal(batch.lengths, [len(clip) for clip in clips])
        np.testing.assert_array_equal(batch.partners, partners)
        assert (batch.shares == share).all()
        for features, clip in zip(batch.features.numpy(), clips, strict=True):
            np.testing.assert_allclose(features[: len(clip)], clip, atol=3e-5)
            assert not features[len(clip) :].any()


def test_joined_changes_are_those_of_each_batch(batches):
    """Augmentations of several strengths, one of them without masks and one without mixtures."""
    augments = [SpectrogramAugment(**ALL), SpectrogramAugment(**OFF | {"mixup": 0.4}), SpecAugment(**MASKS)]
    parts = [*batches, batches[0]]
    drawn = [
        augment.draw(lengths, rows=40, generator=np.random.default_rng(seed))
        for seed, (augment, (_, lengths, _)) in enumerate(zip(augments, parts, strict=True))
    ]
    features = torch.cat([torch.from_numpy(frames) for frames, _, _ in parts])
    mean = torch.cat([torch.from_numpy(mean).expand(len(frames), 1, -1) for frames, _, mean in parts])
    joined = BatchChanges.join(drawn)
    together = joined.apply(features, mean=mean)
    starts = np.cumsum([0, *(len(frames) for frames, _, _ in parts)])
    for changes, start, (frames, _, own) in zip(drawn, starts, parts, strict=False):
        alone = changes.apply(torch.from_numpy(frames), mean=torch.from_numpy(own))
        part = together[start : start + len(frames)]
        torch.testing.assert_close(part[:, : alone.size(1)], alone, rtol=0, atol=1e-5)
        assert not part[:, alone.size(1) :].any()
        np.testing.assert_array_equal(joined.mixed_lengths[start : start + len(frames)], changes.mixed_lengths)


def test_warp_moves_events_in_time_and_frequency():
    frames = np.zeros((101, 40), np.float32)
    frames[50, 20] = 1.0
    slow = warp(frames, rate=0.5, stretch=1.0)
    assert slow.shape == (202, 40)
    assert np.unravel_index(slow.argmax(), slow.shape)[0] in (100, 101)
    high = warp(frames, rate=1.0, stretch=1.25)
    assert np.unravel_index(high.argmax(), high.shape) == (50, 25)
    assert np.array_equal(warp(frames, rate=1.0, stretch=1.0), frames)


def test_clip_of_one_frame_stays():
    one = np.ones((1, 40), np.float32)
    assert np.array_equal(warp(one, rate=1.12, stretch=1.0), one)


def test_nothing_changes_without_options(frames):
    batch = augmented(frames)
    assert np.array_equal(batch.features, frames)
    assert np.array_equal(batch.lengths, LENGTHS)
    assert batch.partners is None


@pytest.mark.parametrize(
    "values", [{"time_warp": 0.12}, {"frequency_warp": 0.08}, {"gain_db": 6.0}, {"masks": MASKS}, {"mixup": 0.3}]
)
def test_every_option_changes_the_batch_as_the_generator_says(frames, values):
    before = frames.copy()
    batch = augmented(frames, **values)
    again, other = augmented(frames, **values), augmented(frames, seed=1, **values)
    assert np.array_equal(frames, before)
    assert np.array_equal(batch.features, again.features)
    assert batch.features.shape != frames.shape or not np.allclose(batch.features, frames)
    assert batch.features.shape != other.features.shape or not np.allclose(batch.features, other.features)
    padding = np.arange(batch.features.shape[1]) >= batch.lengths[:, None]
    assert not batch.features[padding].any()


def test_amounts_stay_within_the_options(frames):
    lengths = np.array([augmented(frames, seed=seed, time_warp=0.12).lengths for seed in range(50)])
    assert (lengths >= np.floor(LENGTHS / 1.12)).all()
    assert (lengths <= np.ceil(LENGTHS / 0.88)).all()
    assert np.ptp(lengths, axis=0).min() > 5
    gains = np.array([(augmented(frames, seed=seed, gain_db=6.0).features - frames)[:, 0, 0] for seed in range(50)])
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
