"""One data file of a feature cache, with its index and its lock."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np
import numpy.typing as npt

from ser_lightning.atomic import write_atomically
from ser_lightning.data.extract import Extracted

FORMAT = 5  # of the files; increase it when they are written in another way
# Clips between two writes of the index, or a twentieth of its rows if those are more, because a write takes as long as
# the index. A killed process loses at most this many.
INDEX_INTERVAL = 256

log = logging.getLogger(__name__)


class DamagedCacheError(Exception):
    """Raised when a file of a feature cache is damaged or has another format version."""


@dataclass(frozen=True, slots=True)
class CachedClip:
    """Position of one copy of one utterance in the frames, in frames."""

    offset: int
    frames: int


Rows = dict[tuple[str, str], CachedClip]  # (utterance id, name of the copy) -> its position


class CacheFile:
    """A data file of a feature cache (float32, (frames, F), clips concatenated), its index and its lock.

    A process that writes holds the lock, appends to the data file and then replaces the index atomically, so that a
    reader never sees incomplete features.

    Args:
        folder: folder of the feature cache
        suffix: end of the names of the files; empty for ``frames.f32`` and ``index.json``
        spec: what the features depend on, which the index repeats
        size: number of features F

    """

    def __init__(self, *, folder: Path, suffix: str, spec: Mapping[str, Any], size: int) -> None:
        self.folder, self.spec, self.size = folder, spec, size
        self.data = folder / f"frames{suffix}.f32"
        self.index = folder / f"index{suffix}.json"
        self.lock = folder / f"lock{suffix}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the file; wait for a process that holds it."""
        lock = filelock.FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            log.warning("Another process is building the feature cache %s; waiting for its lock.", self.folder)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def read(self) -> tuple[Rows, set[str]]:
        """Return the rows of the file, and the ids of its clips without detected speech; both empty if there is none.

        Raises:
            DamagedCacheError: the file is damaged or has another format version

        """
        if not self.index.exists():
            return {}, set()
        try:
            index: dict[str, Any] = json.loads(self.index.read_text(encoding="utf-8"))
            if index["format"] != FORMAT or index["spec"] != self.spec:
                raise DamagedCacheError(
                    f"The feature cache {self.folder} was written by another version: format {index['format']},"
                    f" expected {FORMAT}"
                )
            rows = {(id_, name): CachedClip(offset, frames) for id_, name, offset, frames in index["rows"]}
            without_speech = set(index["without_speech"])
            expected = _count_frames(rows) * self.size * 4
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCacheError(f"The index of the feature cache, {self.index}, is damaged ({error})") from error
        size = self.data.stat().st_size if self.data.exists() else 0
        if size < expected:
            raise DamagedCacheError(
                f"The data file {self.data} of the feature cache is damaged: it has {size} bytes, expected {expected}"
            )
        return rows, without_speech

    def read_or_reset(self) -> tuple[Rows, set[str]]:
        """Return what :meth:`read` returns; delete the file if it is damaged. The lock is needed."""
        try:
            return self.read()
        except DamagedCacheError as damaged:
            log.warning("%s. Rebuilding it.", damaged)
            # Unlinked rather than truncated: a process that has mapped the old file can still read it.
            self.index.unlink(missing_ok=True)
            self.data.unlink(missing_ok=True)
            return {}, set()

    def map_frames(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return the frames (R, F) of all rows of the file, memory-mapped."""
        return np.memmap(self.data, dtype=np.float32, mode="r", shape=(_count_frames(rows), self.size))

    def append(self, results: Iterable[Extracted]) -> dict[str, str]:
        """Append extracted features. The lock is needed.

        Args:
            results: features of the clips

        Returns:
            The reason of each failure, by the id of the utterance that cannot be used.

        """
        rows, without_speech = self.read()
        failures: dict[str, str] = {}
        end, indexed = _count_frames(rows), 0
        with self.data.open("ab") as file:
            file.truncate(end * self.size * 4)  # remove data that a killed process wrote but did not index
            for count, result in enumerate(results, start=1):
                if result.failure is not None:
                    failures[result.id] = result.failure
                    continue
                if result.without_speech:
                    without_speech.add(result.id)
                for name, matrix in result.features.items():  # matrix: (K, F)
                    file.write(np.ascontiguousarray(matrix).data)
                    rows[result.id, name] = CachedClip(end, len(matrix))
                    end += len(matrix)
                if count - indexed >= max(INDEX_INTERVAL, len(rows) // 20):
                    self._write_index(file, rows, without_speech)
                    indexed = count
            self._write_index(file, rows, without_speech)
        return failures

    def _write_index(self, file: IO[bytes], rows: Rows, without_speech: set[str]) -> None:
        """Flush the data file and write an index that covers it."""
        file.flush()
        os.fsync(file.fileno())
        with write_atomically(self.index) as index:
            json.dump(
                {
                    "format": FORMAT,
                    "spec": self.spec,
                    "size": self.size,
                    "without_speech": sorted(without_speech),
                    "rows": [[id_, name, row.offset, row.frames] for (id_, name), row in rows.items()],
                },
                index,
            )

    def state(self) -> tuple[int, int] | None:
        """Return the inode and modification time (ns) of the index file, or None if there is no such file."""
        try:
            status = self.index.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns


def _count_frames(rows: Rows) -> int:
    return max((row.offset + row.frames for row in rows.values()), default=0)
