"""Normalization of features by the statistics of each speaker's own clips, whose labels are never read.

It adapts a model to the speaker: a result with it assumes clips of the same speaker at test time and is transductive.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.frames import Frames
from ser_lightning.errors import InputError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Key = tuple[str, str]  # utterance id and name of the copy

NONE, SPEAKER, ONLINE = "none", "speaker", "speaker_online"
CONSTANT = 1e-8  # a feature with a smaller standard deviation is only centered
ORDER = "SHA-256 of the clip id"  # sorting by id would be sorting by emotion in many corpora


class Moments(NamedTuple):
    """Number of frames, and the sums of each feature and of its square, (F,) each."""

    frames: float
    total: Doubles
    square: Doubles

    @classmethod
    def from_clip(cls, clip: Floats) -> Self:
        """Return the moments of a clip (K, F)."""
        exact = clip.astype(np.float64)
        return cls(len(exact), exact.sum(axis=0), np.square(exact).sum(axis=0))

    def plus(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of frames together."""
        return Moments(self.frames + other.frames, self.total + other.total, self.square + other.square)

    def statistics(self) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of each feature; 1 where a feature is constant."""
        mean = self.total / self.frames
        deviation = np.sqrt(np.maximum(self.square / self.frames - np.square(mean), 0))
        return mean.astype(np.float32), np.where(deviation > CONSTANT, deviation, 1).astype(np.float32)


class NormalizedFrames:
    """Frames of the feature cache, normalized clip by clip when they are read.

    Args:
        frames: (R, F), the clips concatenated
        statistics: index of the first frame of a clip -> mean and standard deviation, (F,) each

    """

    def __init__(self, frames: Frames, statistics: Mapping[int, tuple[Floats, Floats]]) -> None:
        self.frames = frames
        self.statistics = statistics
        self.shape, self.dtype, self.itemsize = frames.shape, frames.dtype, frames.itemsize

    def __getitem__(self, clip: slice) -> Floats:
        """Return the frames of one clip, (K, F); the slice starts at its first frame."""
        mean, deviation = self.statistics[clip.start]
        normalized: Floats = (self.frames[clip] - mean) / deviation
        return normalized


def check_speakers(utterances: Iterable[Utterance], *, mode: str, corpus: str) -> None:
    """Check that the speaker of every clip is known.

    Raises:
        InputError: the corpus does not give the speaker of a clip

    """
    utterances = list(utterances)
    lacking = [utterance.id for utterance in utterances if utterance.speaker is None]
    if lacking:
        raise InputError(
            f"data.normalize={mode} needs the speaker of every clip, and {corpus} gives none for {len(lacking)} of"
            f" {len(utterances)}, such as {lacking[0]}. Add the column speaker (corpus.columns.speaker=<its name>), or"
            " use data.normalize=none."
        )


def normalize_by_speaker(
    frames: Frames,
    *,
    clips: Mapping[Key, slice],
    members: Mapping[str, Sequence[Key]],
    speakers: Mapping[str, str],
    online: bool,
    prior_clips: float,
) -> NormalizedFrames:
    """Normalize each clip by the mean and standard deviation of its speaker's frames.

    The statistics of a speaker are those of his clips in the same subset. The augmented copies of one kind count as
    clips of a speaker of their own, because they change the voice.

    Online, a validation or test clip is normalized by the clips of its speaker so far, itself included, in the order of
    :data:`ORDER`; training speakers are normalized by all their clips. The statistics start from those of the training
    set, which count as ``prior_clips`` clips of average length: the mean over training frames, and the root mean square
    of the deviations within training speakers.

    Args:
        frames: (R, F), the clips concatenated
        clips: position of each clip in the frames
        members: clips of each subset
        speakers: speaker of each utterance id
        online: whether validation and test clips are normalized by the clips so far
        prior_clips: weight of the statistics of the training set, in clips

    Raises:
        InputError: ``online`` without training clips

    """
    groups: dict[tuple[str, str, str], list[Key]] = defaultdict(list)
    for subset, keys in members.items():
        for id_, copy in keys:
            groups[subset, speakers[id_], copy].append((id_, copy))
    statistics: dict[int, tuple[Floats, Floats]] = {}
    training: list[Moments] = []
    for (subset, *_), keys in groups.items():
        if subset == "train" or not online:
            moments = pooled(frames[clips[key]] for key in keys)
            training += [moments] if subset == "train" else []
            statistics |= dict.fromkeys((clips[key].start for key in keys), moments.statistics())
    if online:
        prior = _prior(training, clips=len(members["train"]), weight=prior_clips)
        for (subset, *_), keys in groups.items():
            if subset != "train":
                moments = prior
                for key in sorted(keys, key=_place):
                    moments = moments.plus(Moments.from_clip(frames[clips[key]]))
                    statistics[clips[key].start] = moments.statistics()
    return NormalizedFrames(frames, statistics)


def pooled(clips: Iterable[Floats]) -> Moments:
    """Return the moments of clips (K, F) together; at least one clip."""
    first, *others = map(Moments.from_clip, clips)
    for other in others:
        first = first.plus(other)
    return first


def _prior(training: Sequence[Moments], *, clips: int, weight: float) -> Moments:
    """Return moments that stand for an average training speaker with ``weight`` clips.

    Args:
        training: moments of each training speaker
        clips: number of training clips
        weight: number of clips that the moments count as

    """
    if not training:
        raise InputError(
            "data.normalize=speaker_online starts from the statistics of training clips, and there are none. Use"
            " data.normalize=speaker."
        )
    count = sum(moments.frames for moments in training)
    mean = sum((moments.total for moments in training), np.zeros(1)) / count
    variance = sum((m.square - np.square(m.total) / m.frames for m in training), np.zeros(1)) / count
    frames = weight * count / clips
    return Moments(frames, frames * mean, frames * (np.maximum(variance, 0) + np.square(mean)))


def _place(key: Key) -> str:
    return hashlib.sha256(key[0].encode()).hexdigest()


def describe_normalization(mode: str) -> dict[str, Any] | None:
    """Return what a result states of its normalization; None without one."""
    if mode == NONE:
        return None
    if mode == SPEAKER:
        return {"mode": mode, "transductive": True, "statistics": "all clips of the speaker in the subset"}
    return {"mode": mode, "transductive": True, "statistics": "the clips of the speaker so far", "order": ORDER}
