"""Lightning data module over the feature cache."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ser_lightning.data.augmentation import BatchAugment
from ser_lightning.data.batch import Batch, BatchDataset, FeatureDataset, TrainingClips, as_batch
from ser_lightning.data.batch_augmentation import AugmentedBatches
from ser_lightning.data.preparation import Preparation
from ser_lightning.data.resident import ResidentDataset, fits
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.errors import InputError, suggestion
from ser_lightning.splits.findings import Finding
from ser_lightning.splits.split import SUBSETS

BALANCES = ("none", "classes")


class SpeechDataModule(pl.LightningDataModule):
    """Data module that turns raw recordings into padded batches of features.

    The training set contains augmented copies of its own clips only. Validation and test sets contain no copies, unless
    the preparation splits copies as if they were clips (``augment_first``).

    Args:
        preparation: corpus, split and feature cache
        batch_size: clips per training batch, at least 2
        eval_batch_size: clips per batch in validation and test
        bucket: put clips of similar length into the same batch
        balance: ``classes`` draws training clips so that every epoch has the same number of each class, see
            :class:`~ser_lightning.data.sampler.BatchSampler`; ``none`` uses each clip once
        eval_shuffle: shuffle the validation and test clips once, by the seed; otherwise they are sorted by id (by
            length with ``bucket``). The order matters only if the logits of a clip depend on the other clips in its
            batch
        seed: seed of the order of the clips and of batch augmentation

    Attributes:
        teacher: facts of the run whose probabilities are part of the training targets; None without
        teacher_findings: leak checks of this run

    Raises:
        InputError: a batch size is too small, or ``balance`` is unknown

    """

    def __init__(
        self,
        *,
        preparation: Preparation,
        batch_size: int,
        eval_batch_size: int,
        bucket: bool,
        balance: str,
        eval_shuffle: bool,
        seed: int,
    ) -> None:
        super().__init__()
        for name, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if value < 1:
                raise InputError(f"data.{name} is {value}; expected at least 1")
        if batch_size < 2:
            raise InputError("data.batch_size is 1; expected at least 2: BatchNorm cannot train on a single clip")
        if balance not in BALANCES:
            raise InputError(
                f"data.balance is {balance!r}; expected {' or '.join(BALANCES)}{suggestion(balance, BALANCES)}"
            )
        self.preparation = preparation
        self.balance = balance
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.bucket, self.eval_shuffle, self.seed = bucket, eval_shuffle, seed
        self.datasets: dict[str, FeatureDataset] = {}
        self.teacher: Mapping[str, Any] | None = None
        self.teacher_findings: Sequence[Finding] = ()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # a process may get no clips of a small subset

    def prepare_data(self) -> None:
        """Extract the features that the cache lacks."""
        if not self.datasets:  # the run prepares the data first, then Lightning calls this again
            self.preparation.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Create the dataset of each subset."""
        if self.datasets:
            return
        for subset in SUBSETS:
            self.datasets[subset] = self._dataset(self.preparation.members[subset])

    def _dataset(self, keys: Sequence[tuple[str, str]]) -> FeatureDataset:
        """Return the dataset of rows: utterance id and name of the copy."""
        preparation = self.preparation
        target_by_id = {u.id: preparation.corpus.emotions.index(u.emotion) for u in preparation.utterances}
        return FeatureDataset(
            frames=preparation.frames,
            offsets=np.array([preparation.rows[key].offset for key in keys], dtype=np.int64),
            lengths=np.array([preparation.rows[key].frames for key in keys], dtype=np.int64),
            targets=np.array([target_by_id[id_] for id_, _ in keys], dtype=np.int64),
            utterances=[id_ for id_, _ in keys],
        )

    def subsets(self) -> list[str]:
        """Return the names of the subsets that have clips; requires :meth:`setup`."""
        return [subset for subset in SUBSETS if len(self.datasets[subset])]

    def training_statistics(self) -> tuple[Tensor, Tensor]:
        """Return the mean and standard deviation of each feature over the training frames, (F,) each."""
        return self.datasets["train"].statistics()

    def training_counts(self) -> list[int]:
        """Return the number of training clips of each class, including augmented copies."""
        counts = self.datasets["train"].targets.bincount(minlength=len(self.preparation.corpus.emotions))
        return [int(count) for count in counts]

    def training_clips(self) -> TrainingClips:
        """Return all training clips and their copies, grouped by speaker.

        If there is only one speaker, or none is known, each utterance with its copies is a group.
        """
        dataset = self.datasets["train"]
        speaker_of = {utterance.id: utterance.speaker for utterance in self.preparation.utterances}
        groups = [speaker_of[id_] or id_ for id_ in dataset.utterances]
        if len(set(groups)) == 1:
            groups = list(dataset.utterances)
        return TrainingClips(dataset.all_frames(), dataset.lengths, dataset.targets, groups)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return batches of training clips and their augmented copies, in a new order every epoch."""
        dataset, (rank, world_size) = self.datasets["train"], self._processes()
        sampler = BatchSampler(
            lengths=dataset.lengths.tolist(),
            batch_size=self.batch_size,
            shuffle=True,
            reshuffle=not getattr(self.trainer, "overfit_batches", 0),  # overfitting repeats the same batches
            bucket=self.bucket,
            seed=self.seed,
            balance=dataset.targets.tolist() if self.balance == "classes" else None,
            rank=rank,
            world_size=world_size,
        )
        augment, source = self.preparation.augment, self._on_device(dataset)
        if isinstance(augment, BatchAugment):
            source = AugmentedBatches(
                dataset=dataset,
                source=source,
                sampler=sampler,
                augment=augment,
                seed=self.seed,
                classes=len(self.preparation.corpus.emotions),
            )
        return DataLoader(source, batch_sampler=sampler, collate_fn=as_batch)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return batches of validation clips."""
        return self._eval_dataloader(self.datasets["val"])

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return batches of test clips."""
        return self._eval_dataloader(self.datasets["test"])

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return batches of test clips sorted by id, with a batch sampler that Lightning can replace."""
        return DataLoader(self.datasets["test"], batch_size=self.eval_batch_size, collate_fn=as_batch)

    def eval_dataloader(self, subset: str) -> DataLoader[Batch]:
        """Return batches of all clips of a subset for this process alone, read directly from the feature cache."""
        return self.loader_of(self.datasets[subset])

    def loader_of(self, dataset: FeatureDataset) -> DataLoader[Batch]:
        """Return batches of other clips, composed and ordered as of :meth:`eval_dataloader`."""
        return self._eval_dataloader(dataset, processes=(0, 1))

    def copy_dataloaders(self, subset: str) -> list[DataLoader[Batch]]:
        """Return, for each kind of copy that is evaluated, batches as of :meth:`eval_dataloader`."""
        preparation = self.preparation
        datasets = [self._dataset(preparation.copies_of(subset, copy)) for copy in preparation.eval_copies]
        return [self.loader_of(dataset) for dataset in datasets]

    def _eval_dataloader(
        self, dataset: FeatureDataset, *, processes: tuple[int, int] | None = None
    ) -> DataLoader[Batch]:
        """Return batches of a dataset; without ``processes``, this process's share, from the Trainer's device."""
        rank, world_size = self._processes() if processes is None else processes
        sampler = BatchSampler(
            lengths=dataset.lengths.tolist(),
            batch_size=self.eval_batch_size,
            shuffle=self.eval_shuffle,
            reshuffle=False,
            bucket=self.bucket and not self.eval_shuffle,
            seed=self.seed,
            divide="clips",
            rank=rank,
            world_size=world_size,
        )
        source = self._on_device(dataset) if processes is None else dataset
        return DataLoader(source, batch_sampler=sampler, collate_fn=as_batch)

    def _processes(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _on_device(self, dataset: FeatureDataset) -> BatchDataset:
        """Return a copy of the dataset on the device of the trainer if it fits there, otherwise the dataset itself."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        return ResidentDataset(dataset, device=device) if fits(dataset, device) else dataset

    def smallest_eval_batch(self, subset: str) -> int:
        """Return the number of clips in the smallest evaluation batch of a subset; requires a scanned corpus."""
        sampler = BatchSampler(
            lengths=[1] * len(self.preparation.members[subset]),
            batch_size=self.eval_batch_size,
            shuffle=self.eval_shuffle,
            reshuffle=False,
            bucket=False,
            seed=self.seed,
        )
        return min((len(batch) for batch in sampler), default=0)
