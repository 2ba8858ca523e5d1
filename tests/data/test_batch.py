import numpy as np
import pytest
import torch

from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.resident import ResidentDataset, fits
from ser_lightning.data.sampler import BatchSampler

LENGTHS = [3, 7, 1, 5]


@pytest.fixture
def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((k, 2)).astype(np.float32) for k in LENGTHS]


@pytest.fixture
def dataset(clips) -> FeatureDataset:
    lengths = np.array(LENGTHS)
    return FeatureDataset(
        frames=np.concatenate(clips),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=np.array([0, 1, 2, 1]),
        utterances=list("abcd"),
    )


def test_batch_is_zero_padded_to_longest_clip(dataset, clips):
    batch = dataset.__getitems__([3, 0, 2])
    assert batch.features.shape == (3, 5, 2)
    assert batch.lengths.tolist() == [5, 3, 1]
    assert batch.target.tolist() == [1, 0, 2]
    assert batch.row.tolist() == [3, 0, 2]
    for features, row in zip(batch.features, [3, 0, 2], strict=True):
        k = LENGTHS[row]
        np.testing.assert_array_equal(features[:k], clips[row])
        assert not features[k:].any()


def test_modifying_a_batch_does_not_modify_dataset(dataset):
    before = dataset.frames.copy()
    dataset.__getitems__([0, 1]).features.fill_(9.0)
    np.testing.assert_array_equal(dataset.frames, before)


def test_statistics_match_mean_and_std_of_frames(dataset, clips):
    mean, deviation = dataset.statistics()
    frames = np.concatenate(clips)
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(deviation, frames.std(0), rtol=1e-5)


def sampler(**change) -> BatchSampler:
    rng = np.random.default_rng(1)
    values = {"lengths": rng.integers(20, 150, 1000), "batch_size": 64, "shuffle": True, "reshuffle": True}
    return BatchSampler(**values | {"bucket": False, "seed": 0} | change)


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_clip_appears_once_per_epoch(bucket, shuffle):
    batches = list(sampler(bucket=bucket, shuffle=shuffle))
    assert sorted(sum(batches, [])) == list(range(1000))
    assert len(batches) == len(sampler()) == 16
    assert all(len(batch) <= 64 for batch in batches)


@pytest.mark.parametrize("bucket", [True, False])
def test_training_batches_have_at_least_two_clips(bucket):
    batches = list(sampler(lengths=range(1, 130), bucket=bucket))
    assert sorted(len(batch) for batch in batches) == [64, 65]
    assert len(sampler(lengths=range(1, 130), bucket=bucket)) == 2
    assert [len(batch) for batch in sampler(lengths=range(1, 130), shuffle=False)] == [64, 64, 1]


@pytest.mark.parametrize("bucket", [True, False])
def test_order_depends_on_seed_and_epoch(bucket):
    one, two = sampler(bucket=bucket), sampler(bucket=bucket)
    assert list(one) == list(two)
    one.set_epoch(1)
    assert list(one) != list(two)
    one.set_epoch(0)
    assert list(one) == list(two)
    assert list(sampler(bucket=bucket, seed=1)) != list(two)


def test_evaluation_order_is_the_same_in_every_epoch():
    kept = sampler(reshuffle=False)
    before = list(kept)
    kept.set_epoch(5)
    assert list(kept) == before != list(sampler(shuffle=False))


@pytest.mark.parametrize("shuffle", [True, False])
def test_bucketing_reduces_padding(shuffle):
    def padded(batches: BatchSampler) -> int:
        return sum(len(batch) * int(batches.lengths[batch].max()) for batch in batches)

    assert padded(sampler(bucket=True, shuffle=shuffle)) < 0.75 * padded(sampler(bucket=False, shuffle=shuffle))


uneven = np.repeat([0, 1, 2, 5], [700, 200, 7, 93])  # 250 draws per class in an epoch of 1000 clips


@pytest.mark.parametrize("bucket", [True, False])
def test_balanced_epoch_draws_classes_equally(bucket):
    drawn = np.concatenate(list(sampler(bucket=bucket, balance=uneven)))
    assert len(drawn) == 1000
    times = np.bincount(drawn, minlength=1000)
    assert [times[uneven == one].sum() for one in (0, 1, 2, 5)] == [250] * 4
    # A clip is drawn again only after all others of its class: 250 of 700 once, 200 once and 50 of them twice, ...
    assert [(times[uneven == one].min(), times[uneven == one].max()) for one in (0, 1, 2, 5)] == [
        *((0, 1), (1, 2), (35, 36), (2, 3))
    ]


def test_balanced_draws_depend_on_seed_and_epoch():
    one, two = sampler(balance=uneven), sampler(balance=uneven)
    first = list(one)
    assert first == list(two)
    one.set_epoch(1)
    second = list(one)
    assert set(sum(first, [])) != set(sum(second, []))  # other clips of the frequent class
    one.set_epoch(0)
    assert list(one) == first
    assert list(sampler(balance=uneven, seed=1)) != first


@pytest.mark.parametrize("clips", [997, 998, 999])
def test_remainder_of_balanced_draws_goes_to_random_classes(clips):
    seen = set()
    for seed in range(20):
        drawn = np.concatenate(list(sampler(lengths=range(clips), balance=uneven[-clips:], seed=seed)))
        counts = np.bincount(uneven[-clips:][drawn])[[0, 1, 2, 5]]
        assert counts.sum() == clips
        assert set(counts) == {249, 250}
        seen.add(tuple(counts))
    assert len(seen) > 1


def test_resident_dataset_makes_the_same_batches(dataset):
    resident = ResidentDataset(dataset, device=torch.device("cpu"))
    assert len(resident) == len(dataset)
    for rows in ([3, 0, 2], [1], [2, 2, 1, 0]):
        for ours, theirs in zip(resident.__getitems__(rows), dataset.__getitems__(rows), strict=True):
            assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def test_fits_is_false_on_cpu(dataset):
    assert not fits(dataset, torch.device("cpu"))
