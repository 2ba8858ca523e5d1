"""Files to feature matrices, over several processes."""

import multiprocessing
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ser_lightning.audio.audio import Audio
from ser_lightning.corpus.scanning import sha256
from ser_lightning.errors import InputError, shown
from ser_lightning.interrupts import end_with, ending_at_once
from ser_lightning.memory import keep_freed_memory


class Augment(Protocol):
    """Makes altered copies of a waveform."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each copy."""

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make the copies."""


@runtime_checkable
class FeatureAugment(Protocol):
    """Makes altered copies of a clip's features; an :class:`Augment` may be one too."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each copy."""

    def of_features(self, features: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make the copies of features (F, K), each (F, K')."""


def copies_of(augment: Augment) -> tuple[str, ...]:
    """Return the names of all altered copies of a clip, those of its waveform first."""
    of_features = augment.feature_names if isinstance(augment, FeatureAugment) else ()
    return (*augment.names, *of_features)


class Features(Protocol):
    """Makes the features of a waveform."""

    size: int
    standardize: bool

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (F, K), K at least 1; a clip that is one vector has 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One file of a corpus, the SHA-256 it is to have, and the copies wanted of it (``""`` is the clip itself)."""

    id: str
    corpus: str
    path: Path
    digest: str
    copies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What came of one file.

    Args:
        id: of the utterance
        nothing_voiced: no speech was found in it, so nothing was cut
        features: (F, K) of each copy
        failure: why the file cannot be used, else None

    """

    id: str
    nothing_voiced: bool = False
    features: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    failure: str | None = None


def extract(job: Job, audio: Audio, augment: Augment, features: Features) -> Extracted:
    """Compute the features of one file."""
    try:
        clip = audio.load(job.path, corpus=job.corpus)
        # Afterwards: what is stored under a digest must be made of the bytes with that digest.
        if sha256(job.path) != job.digest:
            return Extracted(id=job.id, failure=f"{shown(job.path)} has changed since the corpus was listed")
    except InputError as error:
        return Extracted(id=job.id, failure=str(error))
    except OSError as error:
        return Extracted(id=job.id, failure=f"{shown(job.path)} cannot be read: {error.strerror}")
    waves = {"": clip.wave}
    if set(job.copies) & set(augment.names):
        waves |= augment(clip.wave, utterance=job.id)
    made = {name: features(waves[name]) for name in job.copies if name in waves}
    if made.keys() != set(job.copies) and isinstance(augment, FeatureAugment):
        original = made[""] if "" in made else features(clip.wave)
        made |= augment.of_features(original, utterance=job.id)
    return Extracted(
        id=job.id,
        nothing_voiced=clip.nothing_voiced,
        features={name: made[name] for name in job.copies},
    )


def _start_worker(parent: int) -> None:
    ending_at_once()
    end_with(parent)  # else it would wait for work for ever, and hold the lock of the store with it
    # A clip is too small to share among threads, and the processes are as many as they shall be.
    threadpool_limits(1)
    keep_freed_memory()


def extract_all(
    jobs: Sequence[Job], audio: Audio, augment: Augment, features: Features, workers: int
) -> Generator[Extracted]:
    """Yield the result of each job, in order, whatever the number of processes.

    Args:
        jobs: the files
        audio: file to waveform
        augment: waveform to altered copies
        features: waveform to features
        workers: processes; 1 computes in this one

    Raises:
        InputError: one of the processes was killed

    """
    work = partial(extract, audio=audio, augment=augment, features=features)
    if workers <= 1 or len(jobs) == 1:
        with threadpool_limits(1):  # one thread gives the same bits everywhere
            yield from map(work, jobs)
        return
    # A fork starts in milliseconds what a fresh interpreter imports in seconds.
    method = "fork" if sys.platform == "linux" else "spawn"
    try:
        with ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context(method), initializer=_start_worker, initargs=(os.getpid(),)
        ) as pool:
            yield from pool.map(work, jobs, chunksize=8)
    except BrokenProcessPool as error:
        raise InputError(
            "a process that computes features was killed, perhaps for want of memory; start again with data.workers=1"
        ) from error
