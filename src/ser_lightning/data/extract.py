"""Files to feature matrices, over several processes."""

import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ser_lightning.audio.audio import Audio
from ser_lightning.errors import InputError
from ser_lightning.memory import keep_freed_memory


class Augment(Protocol):
    """Makes altered copies of a waveform."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each copy."""

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make the copies."""


class Features(Protocol):
    """Makes the features of a waveform."""

    size: int
    standardize: bool

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (F, K)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One file and the copies wanted of it (``""`` is the clip itself)."""

    id: str
    path: Path
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
        clip = audio.load(job.path)
    except InputError as error:
        return Extracted(id=job.id, failure=str(error))
    waves = {"": clip.wave}
    if set(job.copies) - {""}:
        waves |= augment(clip.wave, utterance=job.id)
    return Extracted(
        id=job.id,
        nothing_voiced=clip.nothing_voiced,
        features={name: features(waves[name]) for name in job.copies},
    )


def _start_worker() -> None:
    # A clip is too small to share among threads, and the processes are as many as they shall be.
    threadpool_limits(1)
    keep_freed_memory()


def extract_all(
    jobs: Sequence[Job], audio: Audio, augment: Augment, features: Features, workers: int
) -> Iterator[Extracted]:
    """Yield the result of each job, in order, whatever the number of processes.

    Args:
        jobs: the files
        audio: file to waveform
        augment: waveform to altered copies
        features: waveform to features
        workers: processes; 1 computes in this one

    """
    work = partial(extract, audio=audio, augment=augment, features=features)
    if workers <= 1 or len(jobs) == 1:
        with threadpool_limits(1):  # one thread gives the same bits everywhere
            yield from map(work, jobs)
        return
    # A fork starts in milliseconds what a fresh interpreter imports in seconds.
    method = "fork" if sys.platform == "linux" else "spawn"
    with ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context(method), initializer=_start_worker
    ) as pool:
        yield from pool.map(work, jobs, chunksize=8)
