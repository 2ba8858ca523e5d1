"""Predict the emotions of segments with a model of any kind."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.audio import Audio
from ser_lightning.errors import InputError
from ser_lightning.predict.certainty import Certainty
from ser_lightning.predict.scorer import Scorer
from ser_lightning.predict.segment import NO_SPEECH, Segment, SegmentPrediction
from ser_lightning.predict.speech import seconds_of_speech
from ser_lightning.predict.threads import ReadAhead
from ser_lightning.recording_conditions import measure_conditions, unlike

TOLERANCE = 0.01  # seconds by which a segment may be shorter than the whole recording


class _Clip(NamedTuple):
    """A segment with its prepared waveform (samples,) and its seconds of speech."""

    segment: Segment
    wave: npt.NDArray[np.float32]
    speech: float


class Predictor:
    """Predicts the emotions of segments.

    Args:
        scorer: the model
        audio: converts a segment to the waveform that the model takes
        certainty: turns the logits into answers
        batch_size: number of segments that are scored together
        least_speech: seconds of speech below which a segment is answered with ``no speech``
        vad: detector that measures the speech of a segment, ``webrtc`` or ``silero``
        one_speaker: whether all segments are of one speaker and scored together, by whose features they are normalized
        workers: number of threads that convert segments; with more than one, segments are read by another thread

    """

    def __init__(
        self,
        scorer: Scorer,
        audio: Audio,
        *,
        certainty: Certainty,
        batch_size: int,
        least_speech: float,
        vad: str,
        one_speaker: bool,
        workers: int = 1,
    ) -> None:
        self.workers = workers
        self.scorer = scorer
        self.certainty = certainty
        self.audio = audio
        self.batch_size = batch_size
        self.least_speech = least_speech
        self.vad = vad
        self.one_speaker = one_speaker

    def predict(
        self, segments: Iterable[Segment], *, on_failure: Callable[[str], None]
    ) -> Iterator[list[SegmentPrediction]]:
        """Yield the predictions of one batch of segments after another, in the order of the segments.

        Args:
            segments: the segments
            on_failure: receives the reason for each segment that cannot be used

        Raises:
            InputError: ``one_speaker`` was given with a single segment, whose own mean would be subtracted from it

        """
        batch: list[_Clip] = []
        for clip in self._prepared(segments):
            if isinstance(clip, InputError):
                on_failure(str(clip))
            else:
                batch.append(clip)
            if len(batch) == self.batch_size and not self.one_speaker:
                yield self._classify(batch, on_failure=on_failure)
                batch = []
        if self.one_speaker and len(batch) == 1:
            raise InputError(
                f"{batch[0].segment.path} is the only recording; --one-speaker needs several recordings of the speaker."
            )
        if batch:
            yield self._classify(batch, on_failure=on_failure)

    def _prepared(self, segments: Iterable[Segment]) -> Iterable[_Clip | InputError]:
        if self.workers == 1:
            return map(self._prepare, segments)
        return ReadAhead(self._prepare, segments, workers=self.workers, size=lambda segment: len(segment.wave))

    def _prepare(self, segment: Segment) -> _Clip | InputError:
        try:
            clip = self.audio.convert(segment.wave[:, None], segment.rate, downmix="mean")
        except InputError as error:
            return error
        speech = seconds_of_speech(segment.wave, segment.rate, converted=clip, audio=self.audio, vad=self.vad)
        return _Clip(segment, clip.wave, speech)

    def _classify(self, clips: Sequence[_Clip], *, on_failure: Callable[[str], None]) -> list[SegmentPrediction]:
        spoken = [index for index, clip in enumerate(clips) if clip.speech >= self.least_speech]
        scores: dict[int, npt.NDArray[np.float64]] = {}
        try:
            scores = dict(zip(spoken, self.scorer.logits([clips[index].wave for index in spoken]), strict=True))
        except InputError:
            for index in spoken:  # find the segments whose features cannot be computed
                try:
                    scores[index] = self.scorer.logits([clips[index].wave])[0]
                except InputError as error:
                    on_failure(f"{clips[index].segment.path}: {error}")
        return [
            self._answer(clip, scores.get(index))
            for index, clip in enumerate(clips)
            if index in scores or index not in spoken
        ]

    def _answer(self, clip: _Clip, logits: npt.NDArray[np.float64] | None) -> SegmentPrediction:
        segment = clip.segment
        answer = None if logits is None else self.certainty.answer(logits)
        warnings = segment.warnings
        if answer is not None and self.scorer.training_data is not None:
            conditions = measure_conditions(segment.wave, segment.rate)
            whole = segment.end - segment.start > segment.duration - TOLERANCE
            warnings += unlike(self.scorer.training_data, conditions, whole=whole)
        return SegmentPrediction(
            path=segment.path,
            channel=segment.channel,
            duration=segment.duration,
            start=segment.start,
            end=segment.end,
            speech=clip.speech,
            answer=NO_SPEECH if answer is None else answer.text,
            probabilities=None if answer is None else answer.probabilities,
            emotions=None if answer is None else answer.emotions,
            warnings=warnings,
        )
