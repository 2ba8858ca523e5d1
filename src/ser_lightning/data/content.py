"""What the audio files of a corpus contain, whatever their names and formats."""

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
from ser_lightning.corpus.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.split.twins import RATE, SAME, Contents, near_duplicates

FORMAT = 1  # raise it when the same files give other contents

Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def read_contents(paths: Mapping[str, Path], *, workers: int, progress: Progress) -> Contents:
    """Decode files and compare what is in them.

    Args:
        paths: a file by the digest of its bytes
        workers: threads; not processes, because a training may be at work in this one
        progress: wraps the results, given how many will come, to show how far it is

    """
    samples: dict[str, str] = {}
    unread: dict[str, str] = {}
    waves: dict[str, npt.NDArray[np.float32]] = {}
    with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        results = pool.map(_read, paths.values())
        for file, (digest, wave) in zip(paths, progress(results, len(paths)), strict=True):
            if wave is None:
                unread[file] = digest
            else:
                samples[file] = digest
                waves[digest] = wave
        return Contents(samples=samples, near=near_duplicates(waves), unread=unread)


def _read(path: Path) -> tuple[str, npt.NDArray[np.float32] | None]:
    """Return the digest of the decoded samples and the wave to compare, or why there is none, and None."""
    try:
        wave, rate = read_audio(path)
    except InputError as error:
        return str(error), None
    digest = hashlib.sha256(f"{rate} {wave.shape[1]} ".encode() + wave.tobytes()).hexdigest()
    return digest, to_mono(wave, rate, sampling_rate=RATE, downmix="mean", resampler="soxr")


def stored_contents(
    utterances: Sequence[Utterance], *, folder: str | Path, workers: int, progress: Progress
) -> Contents:
    """Return the contents of a corpus from a file in ``folder``, which is made if there is none.

    Args:
        utterances: the corpus
        folder: where features are stored too
        workers: threads to read with
        progress: see :func:`read_contents`; not called if nothing is read

    """
    paths = {utterance.digest: utterance.path for utterance in utterances}
    key = json.dumps([FORMAT, RATE, SAME, sorted(paths)])
    path = Path(folder) / f"contents-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return Contents(
            samples=dict(read["samples"]),
            near=tuple((one, other, correlation) for one, other, correlation in read["near"]),
            unread={},
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # absent or damaged: it is made again
        contents = read_contents(paths, workers=workers, progress=progress)
    if not contents.unread:  # what could not be read may be read tomorrow
        # It spares time and nothing else: a disk that is full, or read-only, is no reason to lose a run.
        with suppress(OSError), write_atomically(path) as file:
            json.dump(asdict(contents), file)
    return contents
