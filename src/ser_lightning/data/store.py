"""Features of one configuration in one memory-mapped file, made once."""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import numpy.typing as npt

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.audio import Audio
from ser_lightning.corpus.utterance import Utterance
from ser_lightning.data.extract import Augment, Extracted, Features, Job, extract_all
from ser_lightning.errors import InputError

FORMAT = 2  # raise it when the same configuration gives other numbers
LIBRARIES = (
    *("ser-lightning", "librosa", "numpy", "scipy", "soundfile", "soxr", "torch", "torchaudio", "webrtcvad-wheels"),
)
ORIGINAL = ""  # name of the copy that is the clip itself


@dataclass(frozen=True, slots=True)
class Row:
    """Where the frames of one copy of one utterance lie."""

    offset: int
    frames: int


class FeatureStore:
    """Features of a corpus under one configuration, shared by every split, seed and fold.

    A folder ``<digest>/`` holds ``frames.f32`` (float32, (frames, F), clips one after another) and ``index.json``. The
    digest covers the content of every clip, audio, augmentation, features and the versions of the libraries. The data
    file only ever grows and the index is replaced atomically after it, under a lock: a reader never sees half a store.

    Args:
        folder: where stores live; this one gets a subfolder of its own
        utterances: the corpus
        audio: file to waveform
        augment: waveform to altered copies
        features: waveform to features

    """

    def __init__(
        self,
        *,
        folder: str | Path,
        utterances: Sequence[Utterance],
        audio: Audio,
        augment: Augment,
        features: Features,
    ) -> None:
        self.audio, self.augment, self.features = audio, augment, features
        self.utterances = {utterance.id: utterance for utterance in utterances}
        self.spec = {
            "audio": describe(audio),
            "augment": describe(augment),
            "features": describe(features),
            "corpus": corpus_digest(utterances),
            "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        }
        digest = hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = Path(folder) / digest
        self.data = self.folder / "frames.f32"
        self.index = self.folder / "index.json"

    def ensure(
        self,
        copies: Mapping[str, Sequence[str]],
        *,
        workers: int,
        progress: Callable[[Iterable[Extracted], int], Iterable[Extracted]],
    ) -> dict[str, str]:
        """Compute what is missing and append it.

        Args:
            copies: the copies wanted of each utterance id; ``ORIGINAL`` is the clip itself
            workers: processes to compute with; the result does not depend on it
            progress: wraps the results, given how many will come, to show how far it is

        Returns:
            The reason for each utterance that could not be used.

        Raises:
            InputError: the store was written by another version or is damaged

        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / "lock"):
            rows, unvoiced = self._read_index()
            jobs = []
            for id_ in sorted(copies):
                missing = tuple(name for name in copies[id_] if (id_, name) not in rows)
                if missing:
                    jobs.append(Job(id=id_, path=self.utterances[id_].path, copies=missing))
            if not jobs:
                return {}
            failures: dict[str, str] = {}
            end = max((row.offset + row.frames for row in rows.values()), default=0)
            with self.data.open("ab") as file:
                file.truncate(end * self.features.size * 4)  # what a killed build left behind the index
                for result in progress(extract_all(jobs, self.audio, self.augment, self.features, workers), len(jobs)):
                    if result.failure is not None:
                        failures[result.id] = result.failure
                        continue
                    if result.nothing_voiced:
                        unvoiced.add(result.id)
                    for name, matrix in result.features.items():  # matrix: (F, K)
                        file.write(np.ascontiguousarray(matrix.T).data)
                        rows[result.id, name] = Row(end, matrix.shape[1])
                        end += matrix.shape[1]
                file.flush()
                os.fsync(file.fileno())
            with write_atomically(self.index) as index:
                json.dump(
                    {
                        "format": FORMAT,
                        "spec": self.spec,
                        "size": self.features.size,
                        "nothing_voiced": sorted(unvoiced),
                        "rows": [[id_, name, row.offset, row.frames] for (id_, name), row in rows.items()],
                    },
                    index,
                )
            return failures

    def open(self) -> tuple[npt.NDArray[np.float32], dict[tuple[str, str], Row], list[str]]:
        """Map the store into memory.

        Returns:
            The frames (N, F); the row of each (utterance id, copy); the ids in which no speech was found.

        """
        rows, unvoiced = self._read_index()
        total = max((row.offset + row.frames for row in rows.values()), default=0)
        frames = np.memmap(self.data, dtype=np.float32, mode="r", shape=(total, self.features.size))
        return frames, rows, sorted(unvoiced)

    def _read_index(self) -> tuple[dict[tuple[str, str], Row], set[str]]:
        if not self.index.exists():
            return {}, set()
        try:
            index: dict[str, Any] = json.loads(self.index.read_text(encoding="utf-8"))
            if index["format"] != FORMAT or index["spec"] != self.spec:
                raise InputError(
                    f"the store {self.folder} was written by another version (format {index['format']}, expected"
                    f" {FORMAT}); delete that folder, it is made again"
                )
            rows = {(id_, name): Row(offset, frames) for id_, name, offset, frames in index["rows"]}
            unvoiced = set(index["nothing_voiced"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the store index {self.index} is damaged ({error}); delete {self.folder}") from error
        expected = max((row.offset + row.frames for row in rows.values()), default=0) * self.features.size * 4
        size = self.data.stat().st_size if self.data.exists() else 0
        if size < expected:
            raise InputError(
                f"the store file {self.data} has {size} bytes, expected {expected}: it is damaged; delete {self.folder}"
            )
        return rows, unvoiced


def describe(part: object) -> dict[str, Any]:
    """Return the class of an object and the values it was constructed with, for a digest."""
    names = list(signature(type(part)).parameters)
    cls = f"{type(part).__module__}.{type(part).__qualname__}"
    return {"class": cls, **{name: _plain(getattr(part, name)) for name in names}}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def corpus_digest(utterances: Iterable[Utterance]) -> str:
    """Digest names and contents of all clips, in hexadecimal."""
    lines = sorted(f"{utterance.id} {utterance.digest}\n" for utterance in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
