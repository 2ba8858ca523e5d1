"""Feature cache: the features of one configuration in one memory-mapped file, computed once."""

import hashlib
import importlib.metadata
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np
import numpy.typing as npt

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.audio import Audio
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.augmentation import Augment, copy_names
from ser_lightning.data.extract import Extracted, Features, Job, extract_all
from ser_lightning.errors import InputError
from ser_lightning.kernels.compile import KERNELS, source_digest
from ser_lightning.own_code import source_digests

FORMAT = 5  # of the files; increase it when they are written in another way
ORIGINAL = ""  # name of the copy that is the original clip
IRRELEVANT = ("standardize", "download")  # keys of a config section that do not change the cached features
RESOLVED = ("backend", "sha256")  # keys whose value in use, instead of ``auto`` or null, is that of the part

INDEX_INTERVAL = 256  # clips between two writes of the index: a killed process loses at most this many

log = logging.getLogger(__name__)


class _DamagedCacheError(Exception):
    """Raised when a feature cache is damaged or has another format version."""


@dataclass(frozen=True, slots=True)
class Row:
    """Position of one copy of one utterance in the data file, in frames."""

    offset: int
    frames: int


class FeatureCache:
    """Feature cache of a corpus for one configuration, shared by all splits, seeds and folds.

    A folder ``<digest>/`` holds ``frames.f32`` (float32, (frames, F), clips concatenated) and ``index.json``. The
    digest covers the content of every clip, the config of audio, augmentation and features, and the versions of the
    libraries that shape the features. A process that writes holds a lock, appends to the data file and then replaces
    the index atomically, so that a reader never sees incomplete features.

    Args:
        folder: parent folder of all feature caches; this cache uses the subfolder ``<digest>``
        settings: the sections ``audio``, ``augment`` and ``features`` of the config
        utterances: the corpus
        audio: loads a file as a waveform
        augment: makes augmented copies of a clip
        features: computes features from a waveform

    """

    def __init__(
        self,
        *,
        folder: str | Path,
        settings: Mapping[str, Mapping[str, Any]],
        utterances: Sequence[Utterance],
        audio: Audio,
        augment: Augment,
        features: Features,
    ) -> None:
        self.audio, self.augment, self.features = audio, augment, features
        self.utterances = {utterance.id: utterance for utterance in utterances}
        parts: dict[str, object] = {"audio": audio, "features": features}
        if copy_names(augment):  # an augmentation without copies does not shape the cached features
            parts["augment"] = augment
        self.spec: dict[str, Any] = {
            "corpus": corpus_digest(utterances),
            "libraries": library_versions(parts.values()),
        }
        for name, part in parts.items():
            self.spec |= describe(name, settings[name], part)
        if own_code := source_digests(list(parts.values())):
            self.spec["own_code"] = own_code
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
        """Extract the missing features and append them to the cache.

        If several processes need the same features, one extracts them while the others log that they wait; if it is
        killed, one of them takes over. A cache that is damaged or has another format version is rebuilt.

        Args:
            copies: names of the copies needed, by utterance id; ``ORIGINAL`` is the original clip
            workers: number of processes; the result does not depend on it
            progress: wraps the iterable of results, given their number, to display the progress

        Returns:
            The reason of each failure, by the id of the utterance that cannot be used.

        Raises:
            InputError: the cache cannot be written: the disk is full or permissions are missing

        """
        try:
            if not self._jobs(copies, self._read_index()[0]):  # no lock: a complete cache may be read-only
                return {}
        except _DamagedCacheError:
            pass
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                rows, without_speech = self._read_or_reset()
                jobs = self._jobs(copies, rows)
                return self._append(jobs, rows, without_speech, workers=workers, progress=progress) if jobs else {}
        except OSError as error:
            raise InputError(
                f"Cannot write the feature cache {self.folder}: {error.strerror or error}. Free disk space, check the"
                " permissions, or choose another data.feature_cache, then rerun; finished clips are kept."
            ) from error

    def _jobs(self, copies: Mapping[str, Sequence[str]], rows: Mapping[tuple[str, str], Row]) -> list[Job]:
        """List the files with missing copies, and the copies that each lacks."""
        jobs = []
        for id_ in sorted(copies):
            missing = tuple(name for name in copies[id_] if (id_, name) not in rows)
            if missing:
                jobs.append(Job(utterance=self.utterances[id_], copies=missing))
        return jobs

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = filelock.FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            log.warning("Another process is building the feature cache %s; waiting for its lock.", self.folder)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _read_or_reset(self) -> tuple[dict[tuple[str, str], Row], set[str]]:
        try:
            rows, without_speech = self._read_index()
        except _DamagedCacheError as damaged:
            log.warning("%s. Rebuilding it.", damaged)
            # Unlinked rather than truncated: a process that has mapped the old file can still read it.
            self.index.unlink(missing_ok=True)
            self.data.unlink(missing_ok=True)
            return {}, set()
        if not rows:
            self._warn_of_other_versions()
        return rows, without_speech

    def _warn_of_other_versions(self) -> None:
        """Warn about caches of the same configuration that were made with other versions of the libraries."""
        for path in self.folder.parent.glob("*/index.json"):
            try:
                spec = json.loads(path.read_text(encoding="utf-8"))["spec"]
                before = spec.pop("libraries")
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
            now = self.spec["libraries"]
            if spec == {key: value for key, value in self.spec.items() if key != "libraries"} and before != now:
                changes = ", ".join(
                    f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]
                )
                log.warning(
                    "The feature cache %s was made with other library versions (%s). Features are extracted"
                    " again into %s; the old cache may be deleted.",
                    path.parent,
                    changes,
                    self.folder,
                )

    def _append(
        self,
        jobs: Sequence[Job],
        rows: dict[tuple[str, str], Row],
        without_speech: set[str],
        *,
        workers: int,
        progress: Callable[[Iterable[Extracted], int], Iterable[Extracted]],
    ) -> dict[str, str]:
        failures: dict[str, str] = {}
        end = max((row.offset + row.frames for row in rows.values()), default=0)
        # Close the generator on any error, such as a full disk: its worker processes would keep running.
        with (
            closing(extract_all(jobs, self.audio, self.augment, self.features, workers)) as results,
            self.data.open("ab") as file,
        ):
            file.truncate(end * self.features.size * 4)  # remove data that a killed process wrote but did not index
            for count, result in enumerate(progress(results, len(jobs)), start=1):
                if result.failure is not None:
                    failures[result.id] = result.failure
                    continue
                if result.without_speech:
                    without_speech.add(result.id)
                for name, matrix in result.features.items():  # matrix: (K, F)
                    file.write(np.ascontiguousarray(matrix).data)
                    rows[result.id, name] = Row(end, len(matrix))
                    end += len(matrix)
                if count % INDEX_INTERVAL == 0:
                    self._write_index(file, rows, without_speech)
            self._write_index(file, rows, without_speech)
        return failures

    def _write_index(self, file: IO[bytes], rows: Mapping[tuple[str, str], Row], without_speech: set[str]) -> None:
        """Flush the data file and write an index that covers it."""
        file.flush()
        os.fsync(file.fileno())
        with write_atomically(self.index) as index:
            json.dump(
                {
                    "format": FORMAT,
                    "spec": self.spec,
                    "size": self.features.size,
                    "without_speech": sorted(without_speech),
                    "rows": [[id_, name, row.offset, row.frames] for (id_, name), row in rows.items()],
                },
                index,
            )

    def open(self) -> tuple[npt.NDArray[np.float32], dict[tuple[str, str], Row], list[str]]:
        """Map the feature cache into memory.

        Returns:
            The frames (R, F), the row of each (utterance id, copy), and the ids of the clips without detected speech.

        Raises:
            InputError: the cache is damaged or has another format version

        """
        while True:
            before = self._state()
            try:
                rows, without_speech = self._read_index()
                total = max((row.offset + row.frames for row in rows.values()), default=0)
                frames = np.memmap(self.data, dtype=np.float32, mode="r", shape=(total, self.features.size))
            except (_DamagedCacheError, OSError, ValueError) as error:
                if self._state() == before:
                    raise InputError(f"{error}. Delete {self.folder}; it is rebuilt on the next run.") from error
                continue
            # Another process may have rebuilt the cache between the reads of the index and of the data.
            if self._state() == before:
                return frames, rows, sorted(without_speech)

    def _state(self) -> tuple[int, int] | None:
        """Return the inode and modification time (ns) of the index file, or None if there is no such file."""
        try:
            status = self.index.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _read_index(self) -> tuple[dict[tuple[str, str], Row], set[str]]:
        if not self.index.exists():
            return {}, set()
        try:
            index: dict[str, Any] = json.loads(self.index.read_text(encoding="utf-8"))
            if index["format"] != FORMAT or index["spec"] != self.spec:
                raise _DamagedCacheError(
                    f"The feature cache {self.folder} was written by another version: format {index['format']},"
                    f" expected {FORMAT}"
                )
            rows = {(id_, name): Row(offset, frames) for id_, name, offset, frames in index["rows"]}
            without_speech = set(index["without_speech"])
            expected = max((row.offset + row.frames for row in rows.values()), default=0) * self.features.size * 4
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _DamagedCacheError(f"The index of the feature cache, {self.index}, is damaged ({error})") from error
        size = self.data.stat().st_size if self.data.exists() else 0
        if size < expected:
            raise _DamagedCacheError(
                f"The data file {self.data} of the feature cache is damaged: it has {size} bytes, expected {expected}"
            )
        return rows, without_speech


def describe(name: str, section: Mapping[str, Any], part: object) -> dict[str, Any]:
    """Return the values of a config section that shape the features, and the version of the class that it names."""
    values = {key: value for key, value in section.items() if key not in IRRELEVANT}
    values |= {key: getattr(part, key, None) for key in RESOLVED if key in values}
    return {name: values, f"{name}_version": getattr(part, "version", 1)}


def library_versions(parts: Iterable[object]) -> dict[str, str]:
    """Return the versions of the libraries that shape the features."""
    names = {"numpy", *(name for part in parts for name in getattr(part, "libraries", ()))}
    return {name: source_digest() if name == KERNELS else importlib.metadata.version(name) for name in sorted(names)}


def corpus_digest(utterances: Iterable[Utterance]) -> str:
    """Return a SHA-256 digest of the ids and contents of all clips, in hexadecimal."""
    lines = sorted(f"{utterance.id} {utterance.content}\n" for utterance in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
