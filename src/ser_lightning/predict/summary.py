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
        for row in batch:
            if rows and row.path != rows[0].path:
                yield summarize(rows, certainty)
                rows = []
            rows.append(row)
    if rows:
        yield summarize(rows, certainty)


def summarize(rows: Sequence[SegmentPrediction], certainty: Certainty) -> list[SegmentPrediction]:
    """Summarize the rows of one recording, one row per channel.

    The probabilities are the mean over the segments, weighted by their seconds of speech.
    """
    channels = dict.fromkeys(row.channel for row in rows)
    return [_summary([row for row in rows if row.channel == channel], certainty) for channel in channels]


def _summary(rows: Sequence[SegmentPrediction], certainty: Certainty) -> SegmentPrediction:
    scored = [row for row in rows if row.probabilities is not None]
    answer = None
    if scored:
        weights = np.array([row.speech for row in scored])
        values = np.array([list((row.probabilities or {}).values()) for row in scored])
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
        warnings=tuple(dict.fromkeys(warning for row in rows for warning in row.warnings)),
    )


def _seconds_of_speech(rows: Sequence[SegmentPrediction]) -> float:
    """Return the seconds of speech in segments; in windows that overlap, it is counted once."""
    covered, now = 0.0, 0.0
    for row in sorted(rows, key=lambda row: row.start):
        covered += max(0.0, row.end - max(row.start, now))
        now = max(now, row.end)
    total = sum(row.end - row.start for row in rows)
    return sum(row.speech for row in rows) * covered / total if total else 0.0
