"""Load recordings under a condition."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self, Unpack

import numpy as np

from ser_lightning.audio.audio import Audio, LoadedClip
from ser_lightning.audio.reader import FilePart, read_audio, to_mono
from ser_lightning.augment.clip_generator import clip_generator
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.robustness.condition import Condition, Floats, RecordingContext

MOST_VOICES = 500  # recordings from which babble is drawn; all of a large corpus would be sent to every worker

SegmentKey = tuple[Path, float | None, float | None, int | None]  # path, start, end and channel


@dataclass(frozen=True, kw_only=True)
class DegradedAudio(Audio):
    """Load audio files like :class:`~ser_lightning.audio.audio.Audio`, with a condition applied to the recording.

    The condition is applied to the recording as one channel at its own sampling rate, before a part is cut out and
    speech is detected, as if the file had been recorded like that.

    Args:
        condition: the condition
        name: its name, which is part of the seed
        level: its level
        seed: seed of the random numbers, which also depend on the utterance, but not on the level
        utterances: the test utterances, by the part of the file that they are
        voices: utterances from which babble is drawn

    """

    condition: Condition
    name: str
    level: float
    seed: int
    utterances: dict[SegmentKey, Utterance]
    voices: tuple[Utterance, ...]

    @classmethod
    def from_audio(
        cls,
        audio: Audio,
        condition: Condition,
        *,
        name: str,
        level: float,
        seed: int,
        tested: Sequence[Utterance],
        corpus: Sequence[Utterance],
    ) -> Self:
        """Return the audio of a run under a condition.

        Args:
            audio: the audio of the run
            condition: the condition
            name: its name
            level: its level
            seed: seed of the random numbers
            tested: the test utterances
            corpus: all utterances, among which babble is drawn

        """
        chosen = sorted(corpus, key=lambda utterance: hashlib.sha256(utterance.id.encode()).digest())[:MOST_VOICES]
        return cls(
            **{field.name: getattr(audio, field.name) for field in fields(Audio)},
            condition=condition,
            name=name,
            level=level,
            seed=seed,
            utterances={(u.path, u.start, u.end, u.channel): u for u in tested},
            voices=tuple(chosen),
        )

    def load(self, path: str | Path, *, corpus: str | None = None, **segment: Unpack[FilePart]) -> LoadedClip:
        """Load a test utterance under the condition; see :meth:`Audio.load`."""
        utterance = self.utterances[Path(path), segment.get("start"), segment.get("end"), segment.get("channel")]
        wave, rate = self._mono(utterance)
        generator = clip_generator(f"{self.name}/{utterance.id}", seed=self.seed)
        recording = RecordingContext(rate, generator, lambda count: self._voices(utterance, rate, generator, count))
        return self.convert(self.condition(wave, self.level, recording)[:, None], rate, downmix="mean")

    def _mono(self, utterance: Utterance, sampling_rate: int | None = None) -> tuple[Floats, int]:
        """Return a recording as one channel, (samples,), at the given rate, or at its own."""
        wave, rate = read_audio(utterance.path, **utterance.segment)
        sampling_rate = sampling_rate or rate
        downmix = self._downmix(utterance.path, channels=wave.shape[1], corpus=utterance.corpus)
        mono = to_mono(wave, rate, sampling_rate=sampling_rate, downmix=downmix, resampler=self.resampler)
        return mono, sampling_rate

    def _voices(self, utterance: Utterance, rate: int, generator: np.random.Generator, count: int) -> list[Floats]:
        """Return random recordings of other speakers of the same corpus at a rate."""
        others = other_speakers(utterance, self.voices)
        chosen = generator.choice(len(others), count, replace=len(others) < count)
        return [self._mono(others[int(number)], rate)[0] for number in chosen]


def other_speakers(utterance: Utterance, utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the utterances of other speakers of the same corpus."""
    return [u for u in utterances if u.corpus == utterance.corpus and u.speaker not in (None, utterance.speaker)]
