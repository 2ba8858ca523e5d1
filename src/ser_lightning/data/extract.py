"""Files to feature matrices, over several processes."""

import mmap
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ser_lightning.audio.audio import Audio
from ser_lightning.corpus.scanning import sha256
from ser_lightning.errors import InputError, shown
from ser_lightning.interrupts import end_with, ending_at_once
from ser_lightning.kernels.backend import NATIVE
from ser_lightning.memory import keep_freed_memory

CHUNK = 4  # files that a process takes at once
AHEAD = 16  # chunks for each process that are under way: they last while the one that writes waits for the disk
SLOT = 2**23  # bytes of shared memory for the features of a chunk; untouched, it is none


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


class _Place(NamedTuple):
    """Where in the shared memory the features of a clip lie, frame by frame, and their shape, (F, K)."""

    offset: int
    shape: tuple[int, ...]


class _Sent(NamedTuple):
    """A result on its way from one process to another, with what was put into the shared memory."""

    result: Extracted
    places: dict[str, _Place]


_shared: mmap.mmap | None = None  # of a worker, with the process that started it


def _start_worker(parent: int, shared: mmap.mmap | None) -> None:
    global _shared  # noqa: PLW0603 - a pool gives its tasks nothing else to find it by
    _shared = shared
    ending_at_once()
    end_with(parent)  # else it would wait for work for ever, and hold the lock of the store with it
    # A clip is too small to share among threads, and the processes are as many as they shall be.
    threadpool_limits(1)
    keep_freed_memory()


def _extract_chunk(chunk: Sequence[Job], slot: int, work: Callable[[Job], Extracted]) -> list[_Sent]:
    end = slot * SLOT
    sent = []
    for result in map(work, chunk):
        places: dict[str, _Place] = {}
        for name, matrix in result.features.items():
            # What finds no room goes through a pipe, which costs both processes half as much as computing it.
            if _shared is not None and matrix.dtype == np.float32 and end + matrix.nbytes <= (slot + 1) * SLOT:
                np.frombuffer(_shared, np.float32, matrix.size, end).reshape(matrix.T.shape)[:] = matrix.T
                places[name] = _Place(end, matrix.shape)
                end += matrix.nbytes
        piped = {name: matrix for name, matrix in result.features.items() if name not in places}
        sent.append(_Sent(replace(result, features=piped), places))
    return sent


def _received(sent: _Sent, shared: mmap.mmap | None, names: Sequence[str]) -> Extracted:
    """Return the result with all its features in their order, none of them in the shared memory any more."""
    features = dict(sent.result.features)
    for name, (offset, (size, frames)) in sent.places.items():
        assert shared is not None  # noqa: S101 - it was there when the worker put them there
        features[name] = np.frombuffer(shared, np.float32, size * frames, offset).reshape(frames, size).copy().T
    return replace(sent.result, features={name: features[name] for name in names if name in features})


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
    _warm_up(jobs, augment, features)
    try:
        yield from _by_workers(jobs, work, workers)
    except BrokenProcessPool as error:
        raise InputError(
            "a process that computes features was killed, perhaps for want of memory; start again with data.workers=1"
        ) from error


def _warm_up(jobs: Sequence[Job], augment: Augment, features: Features) -> None:
    """Let librosa and torchaudio compile and build what they need before the processes are forked, which then share it.

    Several processes that compile at once spoil numba's cache (numba issue 10128); torchaudio's resampling kernels take
    gigabytes.
    """
    sample = np.zeros(1, np.float32)
    with threadpool_limits(1):
        if getattr(features, "backend", NATIVE) != NATIVE:
            features(sample)
        if getattr(augment, "backend", NATIVE) != NATIVE and any({*job.copies} & {*augment.names} for job in jobs):
            augment(sample, utterance="")


def _by_workers(jobs: Sequence[Job], work: Callable[[Job], Extracted], workers: int) -> Iterator[Extracted]:
    # A fork starts in milliseconds what a fresh interpreter imports in seconds, and shares its memory.
    forked = sys.platform == "linux"
    chunks = iter([jobs[at : at + CHUNK] for at in range(0, len(jobs), CHUNK)])
    slots = AHEAD * workers
    shared = mmap.mmap(-1, slots * SLOT) if forked else None
    under_way: deque[tuple[Sequence[Job], int, Future[list[_Sent]]]] = deque()
    context = multiprocessing.get_context("fork" if forked else "spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(), shared)
    ) as pool:

        def begin(slot: int) -> None:
            chunk = next(chunks, None)
            if chunk is not None:
                under_way.append((chunk, slot, pool.submit(_extract_chunk, chunk, slot, work)))

        try:
            for slot in range(slots):
                begin(slot)
            while under_way:
                chunk, slot, future = under_way.popleft()
                results = [
                    _received(sent, shared, job.copies) for job, sent in zip(chunk, future.result(), strict=True)
                ]
                begin(slot)
                yield from results
        finally:
            for *_, future in under_way:
                future.cancel()
