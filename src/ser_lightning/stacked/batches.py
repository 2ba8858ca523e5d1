"""Batches of several runs as one batch, each run with its own clips in its own order."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ser_lightning.data.batch import Batch, BatchDataset, FeatureDataset
from ser_lightning.data.resident import ResidentDataset, fits
from ser_lightning.data.sampler import BatchSampler


class FoldedBatch(NamedTuple):
    """Batches of R runs, one after another; batches with fewer clips than the largest are filled up.

    Args:
        features: (R * B, K, F)
        lengths: (R * B,), number of real frames of each clip, at least 1
        target: (R, B), class index of each clip
        shares: (R, B, classes), share of each class in mixtures; None if no clips are mixed
        sizes: number of clips of each run, 0 for a run without a batch
        longest: number of frames of the longest clip of each run, at least 1

    """

    features: Tensor
    lengths: Tensor
    target: Tensor
    shares: Tensor | None
    sizes: list[int]
    longest: list[int]


def batches_of(loader: DataLoader[Batch], *, epoch: int = 0) -> list[list[int]]:
    """Return the rows of every batch of an epoch."""
    sampler = cast(BatchSampler, loader.batch_sampler)
    sampler.set_epoch(epoch)
    return list(sampler)


class Gatherer:
    """Gather the batches of all runs from their datasets.

    On an accelerator the frames that any run uses are kept there once, if they fit; batches are then gathered there.

    Args:
        loaders: data loader of each run
        device: device of the batches
        dtype: type of the features

    """

    def __init__(self, loaders: Sequence[DataLoader[Batch]], *, device: torch.device, dtype: torch.dtype) -> None:
        self.datasets = [cast(BatchDataset, loader.dataset) for loader in loaders]
        self.device, self.dtype = device, dtype
        self.union: ResidentDataset | None = None
        plain = [dataset for dataset in self.datasets if type(dataset) is FeatureDataset]
        if device.type != "cpu" and len(plain) == len(self.datasets):
            self._keep_on_device(plain)

    def _keep_on_device(self, datasets: Sequence[FeatureDataset]) -> None:
        offsets = [dataset.offsets.numpy() for dataset in datasets]
        _, first, inverse = np.unique(np.concatenate(offsets), return_index=True, return_inverse=True)
        lengths, targets = (torch.cat([getattr(d, name) for d in datasets]).numpy() for name in ("lengths", "targets"))
        union = FeatureDataset(
            frames=datasets[0].frames,
            offsets=np.concatenate(offsets)[first],
            lengths=lengths[first],
            targets=targets[first],
            utterances=[""] * len(first),
        )
        if fits(union, self.device):
            self.union = ResidentDataset(union, device=self.device)
            self.row_in_union = np.split(inverse, np.cumsum([len(part) for part in offsets])[:-1])

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
        per_run = max(map(len, rows))
        in_union = [self.row_in_union[run][run_rows] for run, run_rows in enumerate(rows)]
        filled = np.stack([np.pad(run_rows, (0, per_run - len(run_rows))) for run_rows in in_union])
        batch = self.union.__getitems__(filled.flatten().tolist())
        longest = [max((self.union.longest[row] for row in run_rows), default=1) for run_rows in in_union]
        target = batch.target.view(len(rows), per_run)
        features = batch.features.to(self.dtype)
        return FoldedBatch(features, batch.lengths, target, None, [len(run_rows) for run_rows in rows], longest)

    def _fold(self, batches: Sequence[Batch | None]) -> FoldedBatch:
        present = [batch for batch in batches if batch is not None]
        per_run, frames = (max(batch.features.size(axis) for batch in present) for axis in (0, 1))
        first = present[0]
        features = first.features.new_zeros(len(batches), per_run, frames, first.features.size(2))
        lengths = first.lengths.new_ones(len(batches), per_run)
        target = first.target.new_zeros(len(batches), per_run)
        shares = None if first.shares is None else first.shares.new_zeros(*target.shape, first.shares.size(1))
        for run, batch in enumerate(batches):
            if batch is not None:
                size, longest = batch.features.shape[:2]
                features[run, :size, :longest] = batch.features
                lengths[run, :size], target[run, :size] = batch.lengths, batch.target
                if shares is not None:
                    shares[run, :size] = cast(Tensor, batch.shares)
        return FoldedBatch(
            features.flatten(0, 1).to(self.device, self.dtype),
            lengths.flatten().to(self.device),
            target.to(self.device),
            None if shares is None else shares.to(self.device, self.dtype),
            [0 if batch is None else len(batch.lengths) for batch in batches],
            [1 if batch is None else batch.features.size(1) for batch in batches],
        )
