"""Content of the audio files of a corpus, compared regardless of file names and formats."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.json_cache import cache_file, read_cached, write_cached
from ser_lightning.errors import InputError
from ser_lightning.splits.near_duplicates import BANDS, RATE, SAME, Contents, Signature, near_duplicates, signature
from ser_lightning.splits.row_file import RowFile

FORMAT = 1  # increase it when the same files give different contents
BATCH = 1024  # recordings that wait for a thread at a time

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
Observe = Callable[[str, npt.NDArray[np.float32], int], None]


def read_contents(
    paths: Mapping[str, Path],
    *,
    segments: Mapping[str, Mapping[str, Any]],
    workers: int,
    progress: Progress,
    observe: Observe | None = None,
) -> Contents:
    """Decode audio files and find identical and near-duplicate recordings.

    Args:
        paths: path of each recording, by an identifier of its content: the digest of the file, and its segment
        segments: the segment and channel of recordings that are not a whole file, by the same identifier, as arguments
            of :func:`~ser_lightning.audio.reader.read_audio`
        workers: number of threads; processes are avoided because a training run may be active in this process
        progress: wraps the iterable of results, given their number, to display the progress
        observe: called in a thread with the identifier, the samples (samples, channels) and the sampling rate of each
            recording, so that it is decoded only once

    """

    def read(content: str) -> tuple[str, Signature | None] | InputError:
        """Return the digest of the decoded samples and their signature, or why they cannot be read."""
        try:
            wave, rate = read_audio(paths[content], **segments.get(content, {}))
        except InputError as error:
            return error
        if observe is not None:
            observe(content, wave, rate)
        digest = hashlib.sha256(f"{rate} {wave.shape[1]} ".encode())
        digest.update(np.ascontiguousarray(wave).data)
        return digest.hexdigest(), signature(_comparable(wave, rate))

    def load(digest: str) -> npt.NDArray[np.float32]:
        content = source[digest]
        return _comparable(*read_audio(paths[content], **segments.get(content, {})))

    samples: dict[str, str] = {}
    unread: dict[str, str] = {}
    source: dict[str, str] = {}  # digest of the samples -> content, of each signature
    with RowFile(BANDS, np.float16) as signatures:
        with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
            results = progress(_map_in_batches(pool, read, list(paths)), len(paths))
            for content, result in zip(paths, results, strict=True):
                if isinstance(result, InputError):
                    unread[content] = str(result)
                    continue
                samples[content], bands = result
                if bands is not None and samples[content] not in source:
                    source[samples[content]] = content
                    signatures.append(bands)
        with threadpool_limits(workers):
            near = near_duplicates(list(source), signatures.rows(), load)
    return Contents(samples=samples, near=near, unread=unread)


def _map_in_batches(pool: ThreadPoolExecutor, function: Callable[[str], Any], items: Sequence[str]) -> Iterator[Any]:
    """Yield the result of each item in order; the pool would otherwise hold a task for every item at once."""
    for start in range(0, len(items), BATCH):
        yield from pool.map(function, items[start : start + BATCH])


def _comparable(wave: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    return to_mono(wave, rate, sampling_rate=RATE, downmix="mean", resampler="soxr")


def cached_contents(
    utterances: Sequence[Utterance], *, folder: Path, workers: int, progress: Progress, observe: Observe | None = None
) -> Contents:
    """Return the contents of a corpus, read from a cache file in ``folder`` or computed and saved there.

    Args:
        utterances: the corpus
        folder: the folder of the feature cache
        workers: number of threads that read files
        progress: see :func:`read_contents`; not called if the cache file is used
        observe: see :func:`read_contents`; if it is given, every file is decoded and the cache file only written

    """
    paths = {utterance.content: utterance.path for utterance in utterances}
    segments = {utterance.content: utterance.segment for utterance in utterances}
    path = cache_file(folder, "contents", [FORMAT, RATE, SAME, sorted(paths)])
    if observe is None and (cached := read_cached(path, _parse)) is not None:
        return cached
    contents = read_contents(paths, segments=segments, workers=workers, progress=progress, observe=observe)
    if not contents.unread:  # not cached with unreadable files, which may be readable later
        write_cached(path, asdict(contents))
    return contents


def _parse(read: Any) -> Contents:
    near = tuple((first, second, correlation) for first, second, correlation in read["near"])
    return Contents(samples=dict(read["samples"]), near=near, unread={})
