"""Batches of several runs that are gathered and augmented on the device, and those that each run assembles."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.augment.mixup import Mixup
from ser_lightning.augment.spec_augment import SpecAugment
from ser_lightning.augment.spectrogram import SpectrogramAugment
from ser_lightning.data.batch import BatchDataset, FeatureDataset, as_batch
from ser_lightning.data.batch_augmentation import AugmentedBatches
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.stacked import batches
from ser_lightning.stacked.batches import Gatherer

CPU = torch.device("cpu")
LENGTHS = np.array([40, 3, 12, 25, 25, 9, 31, 17])
CLIPS = [[0, 1, 2, 3, 4], [7, 4, 3, 2, 6, 5], [5, 6, 1]]  # of each run, in the cache
MASKS = SpecAugment(frequency_masks=1, frequency_width=4, time_masks=2, time_width=5, time_share=0.5)
WARP = {"time_warp": 0.3, "frequency_warp": 0.2, "gain_db": 6.0, "masks": None}


def loaders(augments: list) -> list[DataLoader]:
    generator = np.random.default_rng(0)
    frames = generator.normal(-30, 10, (LENGTHS.sum(), 6)).astype(np.float32)
    offsets, targets = np.cumsum(LENGTHS) - LENGTHS, np.arange(len(LENGTHS)) % 3
    found = []
    for seed, (clips, augment) in enumerate(zip(CLIPS, augments, strict=True)):
        dataset = FeatureDataset(
            frames=frames, offsets=offsets[clips], lengths=LENGTHS[clips], targets=targets[clips], utterances=clips
        )
        sampler = BatchSampler(
            lengths=LENGTHS[clips].tolist(), batch_size=3, shuffle=True, reshuffle=True, bucket=False, seed=seed
        )
        source: BatchDataset = dataset
        if augment is not None:
            source = AugmentedBatches(
                dataset=dataset, source=dataset, sampler=sampler, augment=augment, seed=seed, classes=3
            )
        found.append(DataLoader(source, batch_sampler=sampler, collate_fn=as_batch))
    return found


@pytest.mark.parametrize(
    "augments",
    [
        [None] * 3,
        [SpectrogramAugment(**WARP, mixup=0.3), SpectrogramAugment(**WARP, mixup=None), Mixup(alpha=1.0)],
        [MASKS] * 3,
    ],
    ids=["plain", "mixed", "masked"],
)
def test_batches_on_the_device_are_those_of_each_run(monkeypatch, augments):
    assembled = Gatherer(loaders(augments), device=CPU, dtype=torch.float64)
    monkeypatch.setattr(batches, "fits", lambda *_: True)
    resident = Gatherer(loaders(augments), device=CPU, dtype=torch.float64)
    assert assembled.union is None
    assert resident.union is not None
    for rows in ([[4, 0, 1], [5, 3], [1, 0, 2]], [[2, 3, 1, 4], [], [0]], [[], [1], []]):
        one, two = assembled.of_all_runs(rows), resident.of_all_runs(rows)
        assert one.sizes == two.sizes == [len(run_rows) for run_rows in rows]
        assert one.longest == two.longest
        assert one.features.shape == two.features.shape
        assert two.features.dtype == torch.float64
        real = torch.arange(one.target.size(1)) < torch.tensor(one.sizes)[:, None]
        assert torch.equal(one.target[real], two.target[real])
        assert torch.equal(one.lengths[real.flatten()], two.lengths[real.flatten()])
        torch.testing.assert_close(one.features[real.flatten()], two.features[real.flatten()], rtol=0, atol=1e-5)
        if one.shares is not None:
            torch.testing.assert_close(one.shares[real], two.shares[real], rtol=0, atol=1e-6)
        assert two.lengths.min() >= 1


def test_own_augmentations_are_computed_by_each_run(monkeypatch):
    """The augmentation of docs/own_code.md, which does not draw its random numbers apart."""
    page = (Path(__file__).parents[2] / "docs" / "own_code.md").read_text()
    names = {"torch": torch, "numpy": np, "AugmentedBatch": AugmentedBatch}
    exec(re.search(r"```python\n(class Louder:.*?)```", page, re.DOTALL)[1], names)  # noqa: S102 - of this repository
    monkeypatch.setattr(batches, "fits", lambda *_: True)
    louder, plain = (
        Gatherer(loaders([augment] * 3), device=CPU, dtype=torch.float32) for augment in (names["Louder"](), None)
    )
    assert louder.union is None
    rows = [[1, 0], [2], [0]]
    before, after = plain.of_all_runs(rows), louder.of_all_runs(rows)
    gains = after.features - before.features
    for clip, length in zip(gains[[0, 1, 2, 4]], before.lengths[[0, 1, 2, 4]], strict=True):
        assert clip[:length].std() < 1e-4
        assert 0.01 < clip[:length].mean().abs() < 6
        assert not clip[length:].any()
