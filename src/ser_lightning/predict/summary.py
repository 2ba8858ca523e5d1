"""Summarize the predictions of a recording in one row per channel."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ser_lightning.predict.certainty import Certainty
from ser_lightning.predict.segment import NO_SPEECH, SegmentPrediction


def summaries(
    batches: Iterable[Sequence[SegmentPrediction]], certainty: Certainty
) -> Iterator[list[SegmentPrediction]]:
    """Yield the summary of each recording, one row per channel, from batches of the rows of consecutive recordings.

    Args:
        batches: the rows
        certainty: turns mean probabilities into answers

    """
    rows: list[SegmentPrediction] = []
    for batch in batches:
        for found in batch:
            if rows and found.path != rows[0].path:
                yield summarize(rows, certainty)
                rows = []
            rows.append(found)
    if rows:
        yield summarize(rows, certainty)


def summarize(rows: Sequence[SegmentPrediction], certainty: Certainty) -> list[SegmentPrediction]:
    """Summarize the rows of one recording, one row per channel.

    The probabilities are the mean over the segments, weighted by their seconds of speech.
    """
    channels = dict.fromkeys(found.channel for found in rows)
    return [_summary([found for found in rows if found.channel == channel], certainty) for channel in channels]


def _summary(rows: Sequence[SegmentPrediction], certainty: Certainty) -> SegmentPrediction:
    scored = [found for found in rows if found.probabilities is not None]
    answer = None
    if scored:
        weights = np.array([found.speech for found in scored])
        values = np.array([list((found.probabilities or {}).values()) for found in scored])
        mean = np.average(values, axis=0, weights=weights if weights.any() else None)
        answer = certainty.decide(mean)
    first = rows[0]
    return SegmentPrediction(
        path=first.path,
        channel=first.channel,
        duration=first.duration,
        start=0.0,
        end=first.duration,
        speech=_seconds_of_speech(rows),
        answer=NO_SPEECH if answer is None else answer.text,
        probabilities=None if answer is None else answer.probabilities,
        emotions=None if answer is None else answer.emotions,
        warnings=tuple(dict.fromkeys(warning for found in rows for warning in found.warnings)),
    )


def _seconds_of_speech(rows: Sequence[SegmentPrediction]) -> float:
    """Return the seconds of speech in segments; in windows that overlap, it is counted once."""
    covered, now = 0.0, 0.0
    for found in sorted(rows, key=lambda found: found.start):
        covered += max(0.0, found.end - max(found.start, now))
        now = max(now, found.end)
    total = sum(found.end - found.start for found in rows)
    return sum(found.speech for found in rows) * covered / total if total else 0.0
