"""Feature cache: the features of one configuration in one memory-mapped file, computed once."""

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.audio import Audio
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.augmentation import Augment, copy_names
from ser_lightning.data.cache_file import CachedClip, CacheFile, DamagedCacheError, Rows
from ser_lightning.data.extract import ClipJob, Extracted, Features, extract_all
from ser_lightning.data.frames import Frames, JoinedFrames
from ser_lightning.errors import InputError
from ser_lightning.kernels.compile import KERNELS, source_digest
from ser_lightning.own_code import source_digests

ORIGINAL = ""  # name of the copy that is the original clip
IRRELEVANT = ("standardize", "download", "mixup")  # keys of a config section that do not change the cached features
RESOLVED = ("backend", "sha256")  # keys whose value in use, instead of ``auto`` or null, is that of the part

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shard:
    """Part of a corpus whose features one process extracts into a file of its own.

    Args:
        number: number of the shard, from 0
        count: number of shards into which the corpus is divided

    """

    number: int
    count: int


class FeatureCache:
    """Feature cache of a corpus for one configuration, shared by all splits, seeds and folds.

    A folder ``<digest>/`` holds a :class:`~ser_lightning.data.cache_file.CacheFile`, and one more for each shard. The
    digest covers the content of every clip, the config of audio, augmentation and features, and the versions of the
    libraries that shape the features.

    Args:
        folder: parent folder of all feature caches; this cache uses the subfolder ``<digest>``
        settings: the sections ``audio``, ``augment`` and ``features`` of the config
        utterances: the corpus
        audio: loads a file as a waveform
        augment: makes augmented copies of a clip
        features: computes features from a waveform
        shard: the part of the corpus that this process extracts; None for all of it

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
        shard: Shard | None = None,
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
        self.shard = shard
        self.file = self._file("" if shard is None else f"-{shard.number}-of-{shard.count}")

    def _file(self, suffix: str) -> CacheFile:
        return CacheFile(folder=self.folder, suffix=suffix, spec=self.spec, size=self.features.size)

    def _files(self) -> list[CacheFile]:
        """Return the files of the cache, that of no shard first."""
        suffixes = sorted(path.stem.removeprefix("index") for path in self.folder.glob("index*.json"))
        return [self._file(suffix) for suffix in suffixes]

    def ensure(
        self,
        copies: Mapping[str, Sequence[str]],
        *,
        workers: int,
        progress: Callable[[Iterable[Extracted], int], Iterable[Extracted]],
    ) -> dict[str, str]:
        """Extract the missing features and append them to the file of this process.

        If several processes need the same features, one extracts them while the others log that they wait; if it is
        killed, one of them takes over. A process without a shard waits for those that write a shard; shards do not wait
        for each other. A file that is damaged or has another format version is rebuilt.

        Args:
            copies: names of the copies needed, by utterance id; ``ORIGINAL`` is the original clip. A shard extracts its
                share of them
            workers: number of processes; the result does not depend on it
            progress: wraps the iterable of results, given their number, to display the progress

        Returns:
            The reason of each failure, by the id of the utterance that cannot be used.

        Raises:
            InputError: the cache cannot be written: the disk is full or permissions are missing

        """
        if self.shard is not None:
            copies = {id_: copies[id_] for id_ in sorted(copies)[self.shard.number :: self.shard.count]}
        if not self._jobs(copies, self._intact_rows()):  # no lock: a complete cache may be read-only
            return {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.file.locked():
                self.file.read_or_reset()
                if self.shard is None:
                    self._repair_shards()
                rows = self._intact_rows()
                if not rows:
                    self._warn_of_other_versions()
                jobs = self._jobs(copies, rows)
                return self._extract(jobs, workers=workers, progress=progress) if jobs else {}
        except OSError as error:
            raise InputError(
                f"Cannot write the feature cache {self.folder}: {error.strerror or error}. Free disk space, check the"
                " permissions, or choose another data.feature_cache, then rerun; finished clips are kept."
            ) from error

    def _jobs(self, copies: Mapping[str, Sequence[str]], rows: Mapping[tuple[str, str], CachedClip]) -> list[ClipJob]:
        """List the files with missing copies, and the copies that each lacks."""
        jobs = []
        for id_ in sorted(copies):
            missing = tuple(name for name in copies[id_] if (id_, name) not in rows)
            if missing:
                jobs.append(ClipJob(utterance=self.utterances[id_], copies=missing))
        return jobs

    def _intact_rows(self) -> Rows:
        """Return the rows of all files that are not damaged."""
        rows: Rows = {}
        for file in self._files():
            with suppress(DamagedCacheError):
                rows |= file.read()[0]
        return rows

    def _repair_shards(self) -> None:
        """Wait for the processes that write a shard, and delete the shards that are damaged."""
        for file in self._files():
            if file.index != self.file.index:
                with file.locked():
                    file.read_or_reset()

    def _extract(
        self,
        jobs: Sequence[ClipJob],
        *,
        workers: int,
        progress: Callable[[Iterable[Extracted], int], Iterable[Extracted]],
    ) -> dict[str, str]:
        # Close the generators on any error, such as a full disk: the worker processes of the first would keep running,
        # and the second would draw the progress bar once more, after the message.
        with (
            closing(extract_all(jobs, self.audio, self.augment, self.features, workers)) as results,
            closing(result for result in progress(results, len(jobs))) as extracted,
        ):
            return self.file.append(extracted)

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

    def open(self) -> tuple[Frames, Rows, list[str]]:
        """Map the feature cache into memory.

        Returns:
            The frames (R, F), the row of each (utterance id, copy), and the ids of the clips without detected speech.

        Raises:
            InputError: the cache is damaged or has another format version

        """
        while True:
            files = self._files()
            before = [file.state() for file in files]
            try:
                opened = _join(files)
            except (DamagedCacheError, OSError, ValueError) as error:
                if [file.state() for file in files] == before:
                    raise InputError(f"{error}. Delete {self.folder}; it is rebuilt on the next run.") from error
                continue
            # Another process may have rebuilt the cache between the reads of the index and of the data.
            if [file.state() for file in files] == before:
                return opened


def _join(files: Sequence[CacheFile]) -> tuple[Frames, Rows, list[str]]:
    """Map the files into memory, with the rows of each shifted by the frames of those before it."""
    parts: list[npt.NDArray[np.float32]] = []
    joined: Rows = {}
    without_speech: set[str] = set()
    shift = 0
    for file in files:
        rows, unvoiced = file.read()
        if rows:
            parts.append(file.map_frames(rows))
            joined |= {key: CachedClip(row.offset + shift, row.frames) for key, row in rows.items()}
            without_speech |= unvoiced
            shift += len(parts[-1])
    if not parts:
        raise DamagedCacheError("The feature cache has no features")
    return parts[0] if len(parts) == 1 else JoinedFrames(parts), joined, sorted(without_speech)


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
