"""The synthetic corpus: synthesized speech in the design of RAVDESS, made locally without a download."""

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import product
from pathlib import Path, PurePath
from typing import ClassVar

import numpy as np
import soundfile
from filelock import FileLock
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from ser_lightning.corpora.audio_files import list_corpus_files, sha256
from ser_lightning.corpora.definitions.ravdess import RAVDESS
from ser_lightning.corpora.merging import merged, relabel
from ser_lightning.corpora.problems import Downmix
from ser_lightning.corpora.synthesis import RATE, VERSION, base_of, render, speak
from ser_lightning.corpora.utterance import Scan, Utterance
from ser_lightning.errors import InputError, check_value, printable
from ser_lightning.interrupts import end_with_parent

MANIFEST = "SHA256SUMS"
"""File that lists the clips of a finished corpus; ``sha256sum -c`` reads it too."""

SPACE = 1 << 20  # bytes; with less free disk space, the corpus cannot be written


def stems(*, speakers: int, repetitions: int) -> list[str]:
    """Return the stems of the clips, 30 per speaker and repetition, sorted.

    >>> len(stems(speakers=2, repetitions=1)), len(stems(speakers=24, repetitions=2))
    (60, 1440)

    """
    codes = product(range(1, 9), (1, 2), (1, 2), range(1, repetitions + 1), range(1, speakers + 1))
    return ["-".join(f"{code:02}" for code in (3, 1, *clip)) for clip in codes if clip[:2] != (1, 2)]


def make_clips(folder: Path, names: Sequence[str], base: NDArray[np.float32]) -> dict[str, str]:
    """Make the clips that share a base sentence, that is, a voice and a statement.

    Args:
        folder: folder of the corpus, in which the folders of the actors are created
        names: stems of the clips
        base: the sentence that :func:`~ser_lightning.corpora.synthesis.base_of` gives for all of them

    Returns:
        The SHA-256 of each clip, by path relative to ``folder``.

    """
    digests = {}
    for stem in names:
        path = _path(folder, stem)
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, render(stem, base), RATE, format="FLAC", subtype="PCM_16")
        digests[path.relative_to(folder).as_posix()] = sha256(path)
    return digests


def _path(folder: Path, stem: str) -> Path:
    return folder / f"Actor_{stem[-2:]}" / f"{stem}.flac"


def make_corpus(folder: Path, names: Sequence[str], *, workers: int) -> None:
    """Make the clips and, at the end, their manifest.

    The bytes of a clip depend only on its name, not on the other clips or the number of workers.

    Args:
        folder: an existing, empty folder
        names: stems of the clips
        workers: number of processes

    """
    groups = defaultdict(list)
    for stem in names:
        groups[stem[-2:], base_of(stem)].append(stem)
    spawn = multiprocessing.get_context("spawn")
    end_with_this_process = partial(end_with_parent, os.getpid())
    with ProcessPoolExecutor(
        1, mp_context=spawn, initializer=end_with_this_process
    ) as fresh:  # eSpeak is reproducible only in a fresh process
        bases = fresh.submit(speak).result()
    digests: dict[str, str] = {}
    with (
        Progress(console=Console(stderr=True)) as progress,
        ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_this_process) as pool,
    ):
        bar = progress.add_task("synthetic corpus: speaking", total=len(names))
        try:
            futures = [pool.submit(make_clips, folder, group, bases[key]) for (_, key), group in groups.items()]
            for clips in as_completed(futures):
                digests |= clips.result()
                progress.update(bar, completed=len(digests))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the folder will be deleted, so do not fill it first
            raise
    lines = (f"{digest}  {path}\n" for path, digest in sorted(digests.items()))
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


class Synthetic:
    """Eight rule-based emotions on the sentences of RAVDESS, under its file names.

    It serves to try out and test the project without a download. A model trained on it learns the rules of
    :mod:`ser_lightning.corpora.synthesis`, so results on it say nothing about human emotion.

    Args:
        root: folder of the corpus, which is stored in a subfolder named after the generator's version and the size
        speakers: number of speakers, even, 2 to 24; odd ones are men, even ones are women
        repetitions: takes of each sentence, 1 or 2
        workers: number of processes that make the clips, at least 1; it does not change the clips
        downmix: ``"mean"``, ``"interleave"`` or ``"right"``, as for RAVDESS; no effect, as the clips are mono
        merge: labels to replace by another label, as for RAVDESS

    Raises:
        InputError: a value is out of range

    """

    name: ClassVar[str] = "synthetic"

    def __init__(
        self,
        *,
        root: str | Path,
        speakers: int,
        repetitions: int,
        workers: int,
        downmix: Downmix,
        merge: Mapping[str, str | None] | None,
    ) -> None:
        for key, value, valid, expected in (
            ("speakers", speakers, speakers in range(2, 25, 2), "an even number, 2 to 24"),
            ("repetitions", repetitions, repetitions in (1, 2), "1 or 2"),
            ("workers", workers, workers >= 1, "at least 1"),
        ):
            check_value(f"corpus.{key}", value, valid=valid, expected=expected)
        self.root = Path(root).expanduser()
        self.speakers, self.repetitions = speakers, repetitions
        self.workers = workers
        self.downmix = downmix
        self.merge = merge
        self.emotions = merged(RAVDESS.labels, merge)
        self.folder = self.root / f"synthetic-{VERSION}-{speakers}x{repetitions}"
        self._stems = stems(speakers=speakers, repetitions=repetitions)

    def scan(self) -> Scan:
        """Make the corpus if it is missing, and check it.

        Raises:
            InputError: Praat is not installed, ``root`` cannot be written, or a clip is damaged or missing

        """
        try:
            if not self.folder.exists():  # checked before locking, because the root may be read-only
                self._make()
        except subprocess.CalledProcessError as error:
            raise InputError(
                f"{printable(self.root)}: the synthetic corpus could not be made; {self._remedy()}"
            ) from error
        except OSError as error:
            reason = f"cannot be written: {error.strerror or error}"
            raise InputError(f"{printable(self.root)}: {reason}; give another corpus.root") from error
        return relabel(Scan(utterances=self._check(), problems=()), self.merge)

    def _remedy(self) -> str:
        # libsndfile does not report why it cannot write.
        if shutil.disk_usage(self.root).free < SPACE:
            return "no space left on its disk: free some space, or give another corpus.root"
        return "see the error above"

    def _make(self) -> None:
        if importlib.util.find_spec("parselmouth") is None:
            raise InputError(
                f"{printable(self.folder)} is missing, and making the synthetic corpus needs Praat, which is not"
                " installed; install it with pip install 'ser-lightning[synthetic]' (GPL-3), or choose another corpus="
            )
        self.root.mkdir(parents=True, exist_ok=True)
        # A second process that starts at the same time waits here and then finds the corpus.
        with FileLock(self.root / f".{self.folder.name}.lock"):
            if self.folder.exists():
                return
            part = self.root / f".{self.folder.name}.part"
            if part.exists():  # left by a killed build, since only the holder of the lock builds
                shutil.rmtree(part)
            part.mkdir()
            try:
                words = (part, self.speakers, self.repetitions, self.workers)
                module = "ser_lightning.corpora.make_synthetic"
                subprocess.run([sys.executable, "-m", module, *map(str, words)], check=True)  # noqa: S603 - ours
                part.rename(self.folder)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise

    def _check(self) -> tuple[Utterance, ...]:
        paths = {stem: _path(self.folder, stem) for stem in self._stems}
        try:
            lines = (self.folder / MANIFEST).read_text(encoding="utf-8").splitlines()
            listed = {self.folder / path: digest for digest, path in (line.split("  ", 1) for line in lines)}
        except (OSError, ValueError) as error:
            raise self._damaged(self.folder / MANIFEST, "unreadable") from error
        if listed.keys() != set(paths.values()):
            raise self._damaged(self.folder / MANIFEST, "does not list the clips of the design")
        files, problems = list_corpus_files(self.folder, follow_links=False)
        if problems:
            raise self._damaged(self.folder / problems[0].path, problems[0].reason)
        present = {self.folder / file for file in files}
        if present != listed.keys():
            path = min(present ^ listed.keys())
            raise self._damaged(path, "not a clip of the corpus" if path in present else "missing")
        return tuple(self._utterance(stem, path, listed[path]) for stem, path in sorted(paths.items()))

    def _utterance(self, stem: str, path: Path, digest: str) -> Utterance:
        try:
            intact = sha256(path) == digest
        except OSError as error:
            raise self._damaged(path, f"unreadable ({error.strerror})") from error
        if not intact:
            raise self._damaged(path, "changed since it was made")
        annotation = RAVDESS.parse(PurePath(stem))
        return Utterance(**annotation, path=path, corpus=self.name, digest=digest)

    def _damaged(self, path: Path, reason: str) -> InputError:
        return InputError(f"{printable(path)}: {reason}; delete {printable(self.folder)}, and it is made again")
