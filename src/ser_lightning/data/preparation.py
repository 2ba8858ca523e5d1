"""Preparation of the data before training: corpus, split and feature cache."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from ser_lightning.audio.audio import Audio
from ser_lightning.corpora.utterance import Problem, ProblemsError, Scan, Utterance
from ser_lightning.data.augmentation import Augment, copy_names
from ser_lightning.data.cache_file import CachedClip
from ser_lightning.data.extract import Extracted, Features
from ser_lightning.data.feature_cache import ORIGINAL, FeatureCache, Shard
from ser_lightning.data.frames import Frames
from ser_lightning.data.membership import Members, check_split_of_copies, copies_with_their_clips, split_copies_as_clips
from ser_lightning.data.speaker_normalization import (
    NONE,
    ONLINE,
    NormalizedFrames,
    check_speakers,
    normalize_by_speaker,
)
from ser_lightning.errors import InputError, check_value, printable
from ser_lightning.splits.split import SUBSETS, UNUSED, Split, check_split

Progress = Callable[[Iterable[Extracted], int], Iterable[Extracted]]


class Corpus(Protocol):
    """Folder of recordings with the label set of its annotation."""

    name: str
    emotions: tuple[str, ...]

    def scan(self) -> Scan:
        """List the recordings."""


class Preparation:
    """Corpus, its split and the feature cache of its clips.

    This module imports neither torch nor Lightning, which take longer to load than a feature cache takes to open.

    Args:
        corpus: lists the recordings and their labels
        split: assigns utterances to subsets
        audio: loads a file as a waveform
        augment: makes augmented copies of clips or augments batches
        features: computes features from a waveform
        settings: the sections ``audio``, ``augment`` and ``features`` of the config, which identify the feature cache
        augment_first: reproduce a leakage bug: the split treats augmented copies as clips, so that copies of one clip
            are in several subsets; with False, only the training set has copies, made from its own clips
        feature_cache: folder of the feature cache
        feature_workers: number of processes that extract features; it affects only the run time
        shard: number of the part of the corpus whose features are extracted, from 0; None for the whole corpus
        shards: number of parts, 1 without ``shard``
        normalize: ``speaker`` normalizes each feature by the speaker's own clips, ``speaker_online`` by those so
            far, ``none`` does not; see :mod:`ser_lightning.data.speaker_normalization`
        prior_clips: weight of the training set's statistics in ``speaker_online``, in clips
        eval_copies: also extract the augmented copies of validation and test clips, whose predictions are averaged
        progress: wraps the iterable of extraction results, given their number, to display the progress

    Raises:
        InputError: a number is out of range, or the split or augmentation does not support ``augment_first``

    """

    def __init__(
        self,
        *,
        corpus: Corpus,
        split: Callable[[Sequence[Utterance]], Split],
        audio: Audio,
        augment: Augment,
        features: Features,
        settings: Mapping[str, Mapping[str, Any]],
        augment_first: bool,
        feature_cache: str | Path,
        feature_workers: int,
        shard: int | None = None,
        shards: int = 1,
        normalize: Literal["none", "speaker", "speaker_online"],
        prior_clips: float,
        eval_copies: bool = False,
        progress: Progress = lambda results, _: results,
    ) -> None:
        check_value("data.feature_workers", feature_workers, valid=feature_workers >= 1, expected="at least 1")
        valid = 0 <= prior_clips < math.inf
        check_value("data.prior_clips", prior_clips, valid=valid, expected="a finite number of at least 0")
        self.shard = _shard(shard, shards)
        if augment_first:
            check_split_of_copies(split, copy_names(augment))
        if eval_copies and (augment_first or not copy_names(augment)):
            raise InputError(
                "data.eval_copies is true, and "
                + ("data.augment_first too" if augment_first else "augment makes no copies")
                + "; expected an augmentation that makes copies, such as augment=speed, and data.augment_first=false"
            )
        self.eval_copies = copy_names(augment) if eval_copies else ()
        self.corpus, self.split_strategy, self.augment_first = corpus, split, augment_first
        self.audio, self.augment, self.features, self.settings = audio, augment, features, settings
        self.cache_folder, self.feature_workers, self.progress = Path(feature_cache), feature_workers, progress
        self.normalize, self.prior_clips = normalize, prior_clips
        self.seconds: dict[str, float] = {}
        self.utterances: tuple[Utterance, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self.split: Split
        self.members: Members  # the rows of each subset
        self.cache: FeatureCache
        self.frames: Frames | NormalizedFrames
        self.rows: dict[tuple[str, str], CachedClip]
        self.without_speech: list[str] = []

    def copies(self, subset: str) -> tuple[str, ...]:
        """Return the names of the copies of each clip in a subset, the original clip first.

        Without ``augment_first``, only the training set has augmented copies.
        """
        return (ORIGINAL, *copy_names(self.augment)) if subset == "train" or self.augment_first else (ORIGINAL,)

    def draw(self, utterances: Sequence[Utterance]) -> tuple[Split, Members]:
        """Split a corpus; return the subset of each clip, and the rows of each subset."""
        if self.augment_first:
            return split_copies_as_clips(utterances, self.split_strategy, self.copies("train"))
        split = self.split_strategy(utterances)
        return split, copies_with_their_clips(split, self.copies)

    def scan(self) -> None:
        """List the corpus and split it.

        This is cheap, and reports errors of the corpus and the split before any features are extracted.
        """
        if not self.utterances:
            start = time.perf_counter()
            scan = self.corpus.scan()
            self.utterances, self.problems = scan.utterances, scan.problems
            if self.normalize != NONE:
                check_speakers(self.utterances, mode=self.normalize, corpus=self.corpus.name)
            self.split, self.members = self.draw(self.utterances)
            self.seconds["scan"] = time.perf_counter() - start

    def require(self, subsets: Iterable[str]) -> None:
        """Check that subsets have clips; a file or a table may name none for a subset.

        Raises:
            InputError: a subset is empty

        """
        for subset in subsets:
            if not self.members[subset]:
                raise InputError(
                    f"the split has no {subset} clips; give some, draw them from the training clips by split.val=0.2"
                    " with split=column, or choose another split="
                )

    def prepare(self) -> None:
        """Scan the corpus, extract the features that the cache lacks and open the cache.

        Raises:
            ProblemsError: a clip cannot be read and the corpus is not configured to skip such clips

        """
        self.scan()
        start = time.perf_counter()
        self.cache = FeatureCache(
            folder=self.cache_folder,
            settings=self.settings,
            utterances=self.utterances,
            audio=self.audio,
            augment=self.augment,
            features=self.features,
            shard=self.shard,
        )
        copies: dict[str, list[str]] = defaultdict(list)
        for keys in self._evaluated_members().values():
            for id_, name in keys:
                copies[id_].append(name)
        failures = self.cache.ensure(copies, workers=self.feature_workers, progress=self.progress)
        if failures:
            self._drop_failures(failures)
        if self.shard is None:
            frames, self.rows, self.without_speech = self.cache.open()
            self.frames = frames if self.normalize == NONE else self._normalized(frames)
        self.seconds["prepare"] = time.perf_counter() - start

    def copies_of(self, subset: str, copy: str) -> list[tuple[str, str]]:
        """Return the rows of one kind of copy of the clips of a subset, in the order of the clips.

        Args:
            subset: validation or test
            copy: name of the copy, one of ``eval_copies``

        """
        return [(id_, copy) for id_, _ in self.members[subset]]

    def _evaluated_members(self) -> Members:
        """Return the rows of each subset, with the copies of validation and test clips that are evaluated."""
        return {
            subset: [*keys, *(row for copy in self.eval_copies for row in self.copies_of(subset, copy))]
            if subset != "train"
            else keys
            for subset, keys in self.members.items()
        }

    def _normalized(self, frames: Frames) -> NormalizedFrames:
        return normalize_by_speaker(
            frames,
            clips={key: slice(row.offset, row.offset + row.frames) for key, row in self.rows.items()},
            members=self._evaluated_members(),
            speakers={utterance.id: f"{utterance.corpus}/{utterance.speaker}" for utterance in self.utterances},
            online=self.normalize == ONLINE,
            prior_clips=self.prior_clips,
        )

    def _drop_failures(self, failures: dict[str, str]) -> None:
        by_id = {utterance.id: utterance for utterance in self.utterances}
        problems = tuple(Problem(path=printable(by_id[id_].path), reason=why) for id_, why in failures.items())
        if getattr(self.corpus, "on_problem", "error") != "skip":
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            place = by_id[next(iter(failures))].place
            first = f"{place}: {problems[0].reason}" if place else problems[0].reason
            key = "corpus.parts.<name>.on_problem" if hasattr(self.corpus, "parts") else "corpus.on_problem"
            raise ProblemsError(f"{first}{more}; {key}=skip leaves such clips out and lists them", problems)
        self.problems += problems
        self.utterances = tuple(u for u in self.utterances if u.id not in failures)
        readable = {s: tuple(i for i in getattr(self.split, s) if i not in failures) for s in (*SUBSETS, UNUSED)}
        self.members = {s: [key for key in keys if key[0] not in failures] for s, keys in self.members.items()}
        needed = [subset for subset in SUBSETS if getattr(self.split, subset)]
        source = "the split without unreadable clips"
        self.split = check_split(Split(**readable), self.utterances, source=source, needed=needed)


def _shard(number: int | None, count: int) -> Shard | None:
    """Return the part of the corpus that ``data.shard`` and ``data.shards`` name."""
    if number is None and count == 1:
        return None
    if number is not None and count > 1 and 0 <= number < count:
        return Shard(number, count)
    raise InputError(
        f"data.shard is {'null' if number is None else number} and data.shards is {count}; expected a shard from 0 to"
        " data.shards - 1 and at least 2 shards, or null and 1 for the whole corpus"
    )
