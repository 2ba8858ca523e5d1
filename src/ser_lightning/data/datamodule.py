"""Corpus, split and store as Lightning's data loaders."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from ser_lightning.audio.audio import Audio
from ser_lightning.corpus.utterance import Problem, Scan, Utterance
from ser_lightning.data.batch import Batch, FeatureDataset
from ser_lightning.data.extract import Augment, Extracted, Features
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.data.store import ORIGINAL, FeatureStore
from ser_lightning.errors import InputError
from ser_lightning.split.split import SUBSETS, Split, check_split

Progress = Callable[[Iterable[Extracted], int], Iterable[Extracted]]


class Corpus(Protocol):
    """A folder of recordings and the label set of its annotation."""

    name: str
    emotions: tuple[str, ...]

    def scan(self) -> Scan:
        """List the recordings."""


class SpeechDataModule(pl.LightningDataModule):
    """Raw recordings in, padded batches of features out.

    Training sees the altered copies of its own clips and no others; validation and test see no copies.

    Args:
        corpus: where the recordings are
        split: utterances to subsets
        audio: file to waveform
        augment: waveform to altered copies
        features: waveform to features
        store: folder of the stored features
        workers: processes that compute features; nothing depends on it but time
        batch_size: clips a batch
        eval_batch_size: clips a batch in validation and test
        bucket: make batches of clips of like length
        eval_shuffle: shuffle validation and test once, by the seed; else they come in the order of their ids (by
            length with ``bucket``). Matters only to a model that sees its padding.
        seed: of the order of the training clips
        progress: wraps the results of feature extraction to show how far it is

    Raises:
        InputError: a number out of its range

    """

    def __init__(
        self,
        *,
        corpus: Corpus,
        split: Callable[[Sequence[Utterance]], Split],
        audio: Audio,
        augment: Augment,
        features: Features,
        store: str | Path,
        workers: int,
        batch_size: int,
        eval_batch_size: int,
        bucket: bool,
        eval_shuffle: bool,
        seed: int,
        progress: Progress = lambda results, _: results,
    ) -> None:
        super().__init__()
        for name, value in (
            ("batch_size", batch_size),
            ("eval_batch_size", eval_batch_size),
            ("workers", workers),
        ):
            if value < 1:
                raise InputError(f"data.{name} is {value}; expected at least 1")
        if batch_size < 2:
            raise InputError("data.batch_size is 1; expected at least 2: BatchNorm cannot learn from a clip alone")
        self.corpus, self.split_strategy = corpus, split
        self.audio, self.augment, self.features = audio, augment, features
        self.store_folder, self.workers, self.progress = Path(store), workers, progress
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.bucket, self.eval_shuffle, self.seed = bucket, eval_shuffle, seed
        self.seconds: dict[str, float] = {}
        self.utterances: tuple[Utterance, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self.nothing_voiced: list[str] = []
        self.split: Split
        self.datasets: dict[str, FeatureDataset] = {}

    def scan(self) -> None:
        """List the corpus and split it; cheap, and says early what is wrong with them."""
        if not self.utterances:
            start = time.perf_counter()
            scan = self.corpus.scan()
            self.utterances, self.problems = scan.utterances, scan.problems
            self.split = self.split_strategy(self.utterances)
            self.seconds["scan"] = time.perf_counter() - start

    def prepare_data(self) -> None:
        """Compute what the store lacks.

        Raises:
            InputError: a clip cannot be read and the corpus is not told to skip such clips

        """
        if self.datasets:  # Lightning calls again what the run has called
            return
        self.scan()
        start = time.perf_counter()
        self.store = FeatureStore(
            folder=self.store_folder,
            utterances=self.utterances,
            audio=self.audio,
            augment=self.augment,
            features=self.features,
        )
        copies: dict[str, tuple[str, ...]] = dict.fromkeys((*self.split.val, *self.split.test), (ORIGINAL,))
        copies |= dict.fromkeys(self.split.train, (ORIGINAL, *self.augment.names))
        failures = self.store.ensure(copies, workers=self.workers, progress=self.progress)
        if failures:
            self._drop(failures)
        self.seconds["prepare"] = time.perf_counter() - start

    def setup(self, stage: str | None = None) -> None:
        """Open the store and make a dataset of each subset."""
        if self.datasets:
            return
        frames, rows, self.nothing_voiced = self.store.open()
        target_of = {u.id: self.corpus.emotions.index(u.emotion) for u in self.utterances}
        for subset in SUBSETS:
            names = (ORIGINAL, *self.augment.names) if subset == "train" else (ORIGINAL,)
            keys = [(id_, name) for id_ in getattr(self.split, subset) for name in names]
            self.datasets[subset] = FeatureDataset(
                frames=frames,
                offsets=np.array([rows[key].offset for key in keys], dtype=np.int64),
                lengths=np.array([rows[key].frames for key in keys], dtype=np.int64),
                targets=np.array([target_of[id_] for id_, _ in keys], dtype=np.int64),
                utterances=[id_ for id_, _ in keys],
            )

    def training_statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of every feature over the training frames, each (F,)."""
        return self.datasets["train"].statistics()

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training clips and their copies, shuffled every epoch."""
        return self._loader("train", self.batch_size, shuffle=True, reshuffle=True, bucket=self.bucket)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation clips."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test clips."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, subset: str) -> DataLoader[Batch]:
        """Clips of a subset in the fixed order of evaluation."""
        bucket = self.bucket and not self.eval_shuffle
        return self._loader(subset, self.eval_batch_size, shuffle=self.eval_shuffle, reshuffle=False, bucket=bucket)

    def study_dataloader(self, subset: str, *, batch_size: int) -> DataLoader[Batch]:
        """Clips of a subset in random company, as the study measured them."""
        return self._loader(subset, batch_size, shuffle=True, reshuffle=False, bucket=False)

    def _loader(self, subset: str, batch_size: int, *, shuffle: bool, reshuffle: bool, bucket: bool) -> DataLoader[Any]:
        dataset = self.datasets[subset]
        sampler = BatchSampler(
            lengths=dataset.lengths.tolist(),
            batch_size=batch_size,
            shuffle=shuffle,
            reshuffle=reshuffle,
            bucket=bucket,
            seed=self.seed,
        )
        return DataLoader(dataset, sampler=sampler, batch_size=None)

    def _drop(self, failures: dict[str, str]) -> None:
        first = next(iter(failures.values()))
        if getattr(self.corpus, "on_problem", "refuse") != "skip":
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise InputError(f"{first}{more}; corpus.on_problem=skip leaves such clips out and lists them")
        path_of = {utterance.id: str(utterance.path) for utterance in self.utterances}
        self.problems += tuple(Problem(path=path_of[id_], reason=why) for id_, why in failures.items())
        self.utterances = tuple(u for u in self.utterances if u.id not in failures)
        kept = {s: tuple(i for i in getattr(self.split, s) if i not in failures) for s in SUBSETS}
        self.split = check_split(Split(**kept), self.utterances, source="the split without unreadable clips")
