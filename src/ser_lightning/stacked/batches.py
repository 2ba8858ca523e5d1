"""Batches of several runs as one batch, each run with its own clips in its own order."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ser_lightning.augment.batch_changes import BatchChanges, DrawnAugment, Ints
from ser_lightning.data.batch import Batch, BatchDataset, FeatureDataset
from ser_lightning.data.batch_augmentation import AugmentedBatches, mix_targets
from ser_lightning.data.frames import Frames, JoinedFrames
from ser_lightning.data.resident import ResidentDataset, fits
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.data.speaker_normalization import NormalizedFrames


class FoldedBatch(NamedTuple):
    """Batches of R runs, one after another; batches with fewer clips than the largest are filled up.

    Args:
        features: (R * B, K, F)
        lengths: (R * B,), number of real frames of each clip, at least 1
        target: (R, B), class index of each clip
        shares: (R, B, classes), share of each class in mixtures; None if no clips are mixed
        real: (R, B), whether a clip does not fill up the batch
        sizes: number of clips of each run, 0 for a run without a batch
        longest: number of frames of the longest clip of each run, at least 1

    """

    features: Tensor
    lengths: Tensor
    target: Tensor
    shares: Tensor | None
    real: Tensor
    sizes: list[int]
    longest: list[int]


def batches_of(loader: DataLoader[Batch], *, epoch: int = 0) -> list[list[int]]:
    """Return the rows of every batch of an epoch."""
    sampler = cast(BatchSampler, loader.batch_sampler)
    sampler.set_epoch(epoch)
    return list(sampler)


class Gatherer:
    """Gather the batches of all runs from their datasets.

    On an accelerator the frames that any run uses are kept there once, if they fit; batches are then gathered and
    augmented there.

    Args:
        loaders: data loader of each run
        device: device of the batches
        dtype: type of the features

    """

    def __init__(self, loaders: Sequence[DataLoader[Batch]], *, device: torch.device, dtype: torch.dtype) -> None:
        self.datasets = [cast(BatchDataset, loader.dataset) for loader in loaders]
        self.device, self.dtype = device, dtype
        self.union: ResidentDataset | None = None
        self.augmented = [dataset for dataset in self.datasets if isinstance(dataset, AugmentedBatches)]
        plain = [_plain(dataset) for dataset in self.datasets]
        if plain and None not in plain:
            self._keep_on_device(cast(list[FeatureDataset], plain))

    def _keep_on_device(self, datasets: Sequence[FeatureDataset]) -> None:
        parts = {_identity(dataset.frames): dataset.frames for dataset in datasets}
        frames = JoinedFrames(cast(Any, list(parts.values())))
        starts = dict(zip(parts, frames.starts, strict=False))
        offsets = [starts[_identity(dataset.frames)] + dataset.offsets.numpy() for dataset in datasets]
        start, first, inverse = np.unique(np.concatenate(offsets), return_index=True, return_inverse=True)
        columns = ([dataset.lengths for dataset in datasets], [dataset.targets for dataset in datasets])
        length, target = (torch.cat(column).numpy()[first] for column in columns)
        # The last clip has one frame; copies of it fill up batches.
        start, length, target = np.append(start, start[0]), np.append(length, 1), np.append(target, 0)
        union = FeatureDataset(
            frames=frames, offsets=start, lengths=length, targets=target, utterances=[""] * len(start)
        )
        if fits(union, self.device):
            self.union, self.lengths = ResidentDataset(union, device=self.device), length
            self.rows_in_union = np.split(inverse, np.cumsum([len(part) for part in offsets])[:-1])
            means = [dataset.mean for dataset in self.augmented]
            self.mean = torch.stack(means).to(self.device) if means else None
            self.soft_targets = [dataset.shares for dataset in datasets]

    def of_one_run(self, run: int, rows: list[int]) -> Batch:
        """Return a batch of one run."""
        batch = self.datasets[run].__getitems__(rows)
        return Batch(
            features=batch.features.to(self.device, self.dtype),
            lengths=batch.lengths.to(self.device),
            target=batch.target.to(self.device),
            row=batch.row,
            shares=None if batch.shares is None else batch.shares.to(self.device),
        )

    def of_all_runs(self, rows: Sequence[list[int]]) -> FoldedBatch:
        """Return the batches of all runs; ``rows`` is empty for a run without a batch."""
        if self.union is None:
            return self._fold(
                [self.datasets[run].__getitems__(run_rows) if run_rows else None for run, run_rows in enumerate(rows)]
            )
        in_union = np.full((len(rows), max(map(len, rows))), len(self.lengths) - 1)
        for run, run_rows in enumerate(rows):
            in_union[run, : len(run_rows)] = self.rows_in_union[run][run_rows]
        batch, lengths = self.union.gather(in_union.flatten()), self.lengths[in_union]
        batch = batch._replace(shares=self._soft_targets(batch.target.view(in_union.shape), rows))
        if self.augmented:
            batch, lengths = self._augment(batch, rows, lengths)
        sizes = [len(run_rows) for run_rows in rows]
        return FoldedBatch(
            features=batch.features.to(self.dtype),
            lengths=batch.lengths,
            target=batch.target.view(in_union.shape),
            shares=None if batch.shares is None else batch.shares.view(*in_union.shape, -1).to(self.dtype),
            real=_real(sizes, in_union.shape[1], device=self.device),
            sizes=sizes,
            longest=lengths.max(1).tolist(),
        )

    def _soft_targets(self, target: Tensor, rows: Sequence[list[int]]) -> Tensor | None:
        """Return the soft targets (R * B, classes) of a batch, given its classes (R, B); None if no run has any."""
        classes = next((shares.size(1) for shares in self.soft_targets if shares is not None), None)
        if classes is None:
            return None
        soft = F.one_hot(target, classes).float()
        for run, (shares, run_rows) in enumerate(zip(self.soft_targets, rows, strict=True)):
            if shares is not None:
                soft[run, : len(run_rows)] = shares[run_rows].to(soft)
        return soft.flatten(0, 1)

    def _augment(self, batch: Batch, rows: Sequence[list[int]], lengths: Ints) -> tuple[Batch, Ints]:
        """Return the augmented batch and the lengths of its clips, (R, B)."""
        parts = []
        for dataset, run_rows, run_lengths in zip(self.augmented, rows, lengths, strict=True):
            clips, filling = np.split(run_lengths, [len(run_rows)])
            augment = cast(DrawnAugment, dataset.augment)
            if run_rows:
                generator = dataset.generator(run_rows)
                parts.append(augment.draw(clips, rows=batch.features.size(2), generator=generator))
            parts.append(BatchChanges.none(filling))
        changes = BatchChanges.join(parts)
        mean = cast(Tensor, self.mean).repeat_interleave(lengths.shape[1], 0)[:, None]
        batch = batch._replace(
            features=changes.apply(batch.features, mean=mean),
            lengths=torch.from_numpy(changes.mixed_lengths).to(self.device),
        )
        if changes.partners is not None:
            target, shares = mix_targets(
                batch.target,
                batch.shares,
                partners=changes.partners,
                weights=changes.shares,
                classes=self.augmented[0].classes,
            )
            batch = batch._replace(target=target, shares=shares)
        return batch, changes.mixed_lengths.reshape(lengths.shape)

    def _fold(self, batches: Sequence[Batch | None]) -> FoldedBatch:
        present = [batch for batch in batches if batch is not None]
        per_run, frames = (max(batch.features.size(axis) for batch in present) for axis in (0, 1))
        first = present[0]
        features = first.features.new_zeros(len(batches), per_run, frames, first.features.size(2))
        lengths = first.lengths.new_ones(len(batches), per_run)
        target = first.target.new_zeros(len(batches), per_run)
        mixed = next((batch.shares for batch in present if batch.shares is not None), None)
        shares = None if mixed is None else mixed.new_zeros(*target.shape, mixed.size(1))
        for run, batch in enumerate(batches):
            if batch is not None:
                size, longest = batch.features.shape[:2]
                features[run, :size, :longest] = batch.features
                lengths[run, :size], target[run, :size] = batch.lengths, batch.target
                if shares is not None:
                    labels = F.one_hot(batch.target, shares.size(2))
                    shares[run, :size] = labels if batch.shares is None else batch.shares
        sizes = [0 if batch is None else len(batch.lengths) for batch in batches]
        return FoldedBatch(
            features=features.flatten(0, 1).to(self.device, self.dtype),
            lengths=lengths.flatten().to(self.device),
            target=target.to(self.device),
            shares=None if shares is None else shares.to(self.device, self.dtype),
            real=_real(sizes, per_run, device=self.device),
            sizes=sizes,
            longest=[1 if batch is None else batch.features.size(1) for batch in batches],
        )


def _real(sizes: list[int], per_run: int, *, device: torch.device) -> Tensor:
    return torch.arange(per_run, device=device) < torch.tensor(sizes, device=device)[:, None]


def _identity(frames: Frames | NormalizedFrames) -> Hashable:
    """Return what frames with the same values have in common: their file, if they are all from one."""
    if isinstance(frames, JoinedFrames):
        return tuple(_identity(part) for part in frames.parts)
    return str(frames.filename) if isinstance(frames, np.memmap) else id(frames)


def _plain(dataset: BatchDataset) -> FeatureDataset | None:
    """Return the dataset whose clips can be gathered on the device; None if the batches must be assembled elsewhere."""
    if isinstance(dataset, AugmentedBatches):
        return dataset.dataset if isinstance(dataset.augment, DrawnAugment) else None
    return dataset if type(dataset) is FeatureDataset else None
