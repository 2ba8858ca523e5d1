"""Content of the audio files of a corpus, compared regardless of file names and formats."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.near_duplicates import RATE, SAME, Contents, near_duplicates

FORMAT = 1  # increase it when the same files give different contents

Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def read_contents(
    paths: Mapping[str, Path], *, segments: Mapping[str, Mapping[str, Any]], workers: int, progress: Progress
) -> Contents:
    """Decode audio files and find identical and near-duplicate recordings.

    Args:
        paths: path of each recording, by an identifier of its content: the digest of the file, and its segment
        segments: the segment and channel of recordings that are not a whole file, by the same identifier, as arguments
            of :func:`~ser_lightning.audio.reader.read_audio`
        workers: number of threads; processes are avoided because a training run may be active in this process
        progress: wraps the iterable of results, given their number, to display the progress

    """
    samples: dict[str, str] = {}
    unread: dict[str, str] = {}
    waves: dict[str, npt.NDArray[np.float32]] = {}
    with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda content: _read(paths[content], segments.get(content, {})), paths)
        for file, (digest, wave) in zip(paths, progress(results, len(paths)), strict=True):
            if wave is None:
                unread[file] = digest
            else:
                samples[file] = digest
                waves[digest] = wave
        return Contents(samples=samples, near=near_duplicates(waves), unread=unread)


def _read(path: Path, segment: Mapping[str, Any]) -> tuple[str, npt.NDArray[np.float32] | None]:
    """Return the digest of a file's decoded samples and its waveform for comparison, or an error message and None."""
    try:
        wave, rate = read_audio(path, **segment)
    except InputError as error:
        return str(error), None
    digest = hashlib.sha256(f"{rate} {wave.shape[1]} ".encode() + wave.tobytes()).hexdigest()
    return digest, to_mono(wave, rate, sampling_rate=RATE, downmix="mean", resampler="soxr")


def cached_contents(
    utterances: Sequence[Utterance], *, folder: str | Path, workers: int, progress: Progress
) -> Contents:
    """Return the contents of a corpus, read from a cache file in ``folder`` or computed and saved there.

    Args:
        utterances: the corpus
        folder: the folder of the feature cache
        workers: number of threads that read files
        progress: see :func:`read_contents`; not called if the cache file is used

    """
    paths = {utterance.content: utterance.path for utterance in utterances}
    segments = {utterance.content: utterance.segment for utterance in utterances}
    key = json.dumps([FORMAT, RATE, SAME, sorted(paths)])
    path = Path(folder) / f"contents-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return Contents(
            samples=dict(read["samples"]),
            near=tuple((one, other, correlation) for one, other, correlation in read["near"]),
            unread={},
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # missing or damaged: computed again
        contents = read_contents(paths, segments=segments, workers=workers, progress=progress)
    if not contents.unread:  # not cached with unreadable files, which may be readable later
        # The cache file only saves time: a full or read-only disk must not fail the run.
        with suppress(OSError), write_atomically(path) as file:
            json.dump(asdict(contents), file)
    return contents
