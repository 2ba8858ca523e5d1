"""Extraction of features from audio files, in several processes."""

import math
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
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ser_lightning.audio.audio import Audio
from ser_lightning.corpora.audio_files import sha256
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.augmentation import Augment, FeatureAugment, WaveformAugment
from ser_lightning.errors import InputError, printable
from ser_lightning.interrupts import end_with_parent, set_worker_signals
from ser_lightning.kernels.backend import NATIVE
from ser_lightning.memory import keep_freed_memory

FILES_PER_TASK = 4  # files per task of a worker process
TASKS_PER_WORKER = 16  # tasks queued per worker, enough to keep it busy while the main process waits for the disk
SLOT_BYTES = 2**23  # bytes of shared memory per task for its features; pages that are never written take no memory


class Features(Protocol):
    """Feature extractor: computes a feature matrix from a waveform.

    It may also have ``version``, a number to increase when its features change, and ``libraries``, the distributions
    that shape them: both are part of the digest of the feature cache.
    """

    @property
    def size(self) -> int:
        """Number of features F."""

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features (K, F) of a waveform (samples,).

        K is the number of frames, at least 1; extractors that represent a clip by one vector return K = 1.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipJob:
    """One utterance and the copies to extract (``""`` is the original clip)."""

    utterance: Utterance
    copies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """Result of extracting the features of one file.

    Args:
        id: utterance id
        without_speech: no speech was detected in the clip, so it was not trimmed
        features: features (K, F) of each copy, by the name of the copy
        failure: the reason why the file cannot be used, or None

    """

    id: str
    without_speech: bool = False
    features: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    failure: str | None = None


def extract(job: ClipJob, audio: Audio, augment: Augment, features: Features) -> Extracted:
    """Extract the features of one file.

    If the file cannot be read, or its digest differs from that of the utterance, the result has a ``failure`` and no
    features.
    """
    utterance = job.utterance
    path, id_ = utterance.path, utterance.id
    try:
        clip = audio.load(path, corpus=utterance.corpus, **utterance.segment)
        # Checked after loading: features cached under a digest must come from bytes with that digest.
        if sha256(path) != utterance.digest:
            return Extracted(id=id_, failure=f"{printable(path)} has changed since the corpus was listed")
    except InputError as error:
        return Extracted(id=id_, failure=str(error))
    except OSError as error:
        return Extracted(id=id_, failure=f"{printable(path)} cannot be read: {error.strerror}")
    waves = {"": clip.wave}
    if isinstance(augment, WaveformAugment) and set(job.copies) & set(augment.names):
        waves |= augment(clip.wave, utterance=id_)
    matrices = {name: features(waves[name]) for name in job.copies if name in waves}
    if matrices.keys() != set(job.copies) and isinstance(augment, FeatureAugment):
        original = matrices[""] if "" in matrices else features(clip.wave)
        matrices |= augment.augment_features(original, utterance=id_)
    return Extracted(
        id=id_,
        without_speech=clip.without_speech,
        features={name: matrices[name] for name in job.copies},
    )


class _SharedArray(NamedTuple):
    """Byte offset in shared memory and shape (K, F) of a clip's features."""

    offset: int
    shape: tuple[int, ...]


class _Sent(NamedTuple):
    """Result sent by a worker to the main process, and the arrays of the features that it put into shared memory."""

    result: Extracted
    arrays: dict[str, _SharedArray]


_shared: mmap.mmap | None = None  # in a worker: memory shared with the process that started it


def _start_worker(parent: int, shared: mmap.mmap | None) -> None:
    global _shared  # noqa: PLW0603 - the tasks of a pool have no other way to reach it
    _shared = shared
    set_worker_signals()
    # An orphaned worker would wait for tasks forever and hold the lock of the feature cache.
    end_with_parent(parent)
    # A clip is too small to profit from threads, and the number of processes already sets the parallelism.
    threadpool_limits(1)
    keep_freed_memory()


def _extract_chunk(chunk: Sequence[ClipJob], slot: int, work: Callable[[ClipJob], Extracted]) -> list[_Sent]:
    end = slot * SLOT_BYTES
    sent = []
    for result in map(work, chunk):
        arrays: dict[str, _SharedArray] = {}
        for name, matrix in result.features.items():
            # Features that do not fit go through a pipe, which costs both processes half as much as computing them.
            if _shared is not None and matrix.dtype == np.float32 and end + matrix.nbytes <= (slot + 1) * SLOT_BYTES:
                np.frombuffer(_shared, np.float32, matrix.size, end).reshape(matrix.shape)[:] = matrix
                arrays[name] = _SharedArray(end, matrix.shape)
                end += matrix.nbytes
        piped = {name: matrix for name, matrix in result.features.items() if name not in arrays}
        sent.append(_Sent(replace(result, features=piped), arrays))
    return sent


def _received(sent: _Sent, shared: mmap.mmap | None, names: Sequence[str]) -> Extracted:
    """Return the result with all its features in the order of ``names``, copied out of the shared memory."""
    features = dict(sent.result.features)
    for name, (offset, shape) in sent.arrays.items():
        assert shared is not None  # noqa: S101 - a worker fills arrays only if shared memory exists
        features[name] = np.frombuffer(shared, np.float32, math.prod(shape), offset).reshape(shape).copy()
    return replace(sent.result, features={name: features[name] for name in names if name in features})


def extract_all(
    jobs: Sequence[ClipJob], audio: Audio, augment: Augment, features: Features, workers: int
) -> Generator[Extracted]:
    """Yield the result of each job, in order; the results do not depend on the number of processes.

    Args:
        jobs: the files to process
        audio: loads a file as a waveform
        augment: makes augmented copies of a clip
        features: computes features from a waveform
        workers: number of processes; 1 extracts in the calling process

    Raises:
        InputError: a worker process was killed

    """
    work = partial(extract, audio=audio, augment=augment, features=features)
    if workers <= 1 or len(jobs) == 1:
        with threadpool_limits(1):  # as in a worker, so that the results are bit-identical
            yield from map(work, jobs)
        return
    _warm_up(jobs, augment, features)
    try:
        yield from _by_workers(jobs, work, workers)
    except BrokenProcessPool as error:
        raise InputError(
            "A process that extracts features was killed, perhaps because memory ran out. Rerun with"
            " data.feature_workers=1."
        ) from error


def _warm_up(jobs: Sequence[ClipJob], augment: Augment, features: Features) -> None:
    """Compile librosa's functions and build torchaudio's kernels before forking, so that the workers share them.

    Workers that compile at the same time corrupt numba's cache (numba issue 10128), and torchaudio's resampling kernels
    take gigabytes.
    """
    sample = np.zeros(1, np.float32)
    with threadpool_limits(1):
        if getattr(features, "backend", NATIVE) != NATIVE:
            features(sample)
        if (
            isinstance(augment, WaveformAugment)
            and getattr(augment, "backend", NATIVE) != NATIVE
            and any({*job.copies} & {*augment.names} for job in jobs)
        ):
            augment(sample, utterance="")


def _by_workers(jobs: Sequence[ClipJob], work: Callable[[ClipJob], Extracted], workers: int) -> Iterator[Extracted]:
    # A fork starts in milliseconds and shares memory; a new interpreter spends seconds on imports.
    forked = sys.platform == "linux"
    chunks = iter([jobs[at : at + FILES_PER_TASK] for at in range(0, len(jobs), FILES_PER_TASK)])
    slots = TASKS_PER_WORKER * workers
    shared = mmap.mmap(-1, slots * SLOT_BYTES) if forked else None
    under_way: deque[tuple[Sequence[ClipJob], int, Future[list[_Sent]]]] = deque()
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
