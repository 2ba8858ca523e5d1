"""Divide a signal that comes in blocks into the spans to predict: utterances, or sliding windows."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a signal.

    Args:
        start: index of its first sample in the signal
        wave: (samples,)

    """

    start: int
    wave: Floats


class Segmenter(Protocol):
    """Divides a signal of one channel into spans."""

    def feed(self, samples: Floats) -> list[Span]:
        """Take the next samples (n,) and return the spans that they complete."""
        ...

    def finish(self) -> list[Span]:
        """Return the spans that end with the signal."""
        ...


class Detector(Protocol):
    """Classifies the frames of a signal that comes in blocks as speech or not."""

    frame_s: float  # length of a frame, seconds

    def feed(self, samples: Floats) -> list[bool]:
        """Take the next samples (n,) and classify the frames that they complete."""
        ...

    def finish(self) -> list[bool]:
        """Classify the frame that ends with the signal."""
        ...


class _Buffer:
    """The latest samples of a signal."""

    def __init__(self) -> None:
        self.start = 0  # index of the first sample that is kept
        self.wave = np.zeros(0, np.float32)

    @property
    def end(self) -> int:
        return self.start + len(self.wave)

    def append(self, samples: Floats) -> None:
        self.wave = np.concatenate([self.wave, samples])

    def forget(self, before: int) -> None:
        """Forget the samples before an index."""
        gone = min(max(before - self.start, 0), len(self.wave))
        self.wave, self.start = self.wave[gone:].copy(), self.start + gone

    def span(self, start: int, end: int) -> Span:
        start = max(start, self.start)
        return Span(start, self.wave[start - self.start : end - self.start].copy())


class WindowSegmenter:
    """Cut sliding windows; the last one ends with the signal, and a shorter signal is one window.

    Args:
        window: length of a window, samples
        hop: samples between the starts of consecutive windows

    """

    def __init__(self, *, window: int, hop: int) -> None:
        self.window = window
        self.hop = hop
        self.buffer = _Buffer()
        self.next = 0  # start of the next window
        self.covered = 0  # end of the last window

    def feed(self, samples: Floats) -> list[Span]:
        """Take the next samples (n,) and return the windows that they complete."""
        self.buffer.append(samples)
        spans = []
        while self.next + self.window <= self.buffer.end:
            self.covered = self.next + self.window
            spans.append(self.buffer.span(self.next, self.covered))
            self.next += self.hop
        self.buffer.forget(min(self.next, self.buffer.end - self.window))
        return spans

    def finish(self) -> list[Span]:
        """Return a window at the end of the signal, if no other window reaches it."""
        end = self.buffer.end
        return [self.buffer.span(max(0, end - self.window), end)] if self.covered < end else []


class SpeechSegmenter:
    """Cut utterances at pauses in the speech.

    An utterance ends at a pause. A short one goes on after the pause, unless the pause is long; alone, it is widened
    into the silence around it. A long one is cut in its second half at the longest gap or, without gaps, where it is
    quietest.

    Args:
        rate: sampling rate of the signal, Hz
        detector: finds the frames with speech
        least: least length of an utterance, seconds
        greatest: greatest length of an utterance, seconds
        pause: length of a pause that ends an utterance, seconds
        margin: silence kept before and after an utterance, seconds; the next utterance may be closer
        least_speech: seconds of speech below which an utterance is left out

    """

    def __init__(
        self,
        *,
        rate: int,
        detector: Detector,
        least: float,
        greatest: float,
        pause: float,
        margin: float,
        least_speech: float,
    ) -> None:
        self.detector = detector
        self.frame = rate * detector.frame_s  # samples; not whole for rates such as 11025 Hz
        frames = [max(1, round(seconds / detector.frame_s)) for seconds in (least, greatest, pause, margin)]
        self.least, self.greatest, self.pause, self.margin = frames
        self.least_voiced = least_speech / detector.frame_s
        self.buffer = _Buffer()
        self.now = 0  # index of the next frame
        self.floor = 0  # frame at which the last utterance ends
        self.flags: list[bool] = []  # of the frames of the current utterance, of which the first is speech
        self.gap = 0  # frames since its last speech

    def feed(self, samples: Floats) -> list[Span]:
        """Take the next samples (n,) and return the utterances that they complete."""
        self.buffer.append(samples)
        spans = self._take(self.detector.feed(samples))
        before = max(self.least, self.margin)  # frames that an utterance may be widened by
        self.buffer.forget(self._sample(max(self.floor, self.now - len(self.flags) - before)))
        return spans

    def finish(self) -> list[Span]:
        """Return the utterance that ends with the signal."""
        spans = self._take(self.detector.finish())
        if any(self.flags):
            spans += self._close()
        return spans

    def _take(self, flags: list[bool]) -> list[Span]:
        spans: list[Span] = []
        for speech in flags:
            self.now += 1
            if not self.flags and not speech:
                continue
            self.flags.append(speech)
            self.gap = 0 if speech else self.gap + 1
            spoken = len(self.flags) - self.gap
            if self.gap >= self.pause and (spoken >= self.least or self.gap >= self.least):
                spans += self._close()
            elif len(self.flags) >= self.greatest:
                spans += self._cut()
        return spans

    def _close(self) -> list[Span]:
        """End the current utterance after its last frame with speech."""
        first = self.now - len(self.flags)
        last = self.now - self.gap
        margin = max(self.margin, -(-(self.least - (last - first)) // 2))
        spans = self._spans(first - margin, min(last + margin, self.now), voiced=sum(self.flags))
        self.floor, self.flags = max(self.floor, min(last + margin, self.now)), []
        return spans

    def _cut(self) -> list[Span]:
        """Cut the current utterance in its second half, and go on with the rest."""
        first, half = self.now - len(self.flags), len(self.flags) // 2
        at = self._longest_gap(half)
        if at is None:
            at = half + self._quietest(first + half)
        spans = self._spans(first - self.margin, first + at, voiced=sum(self.flags[:at]))
        self.floor, later = first + at, self.flags[at:]
        self.flags = later[later.index(True) :] if True in later else []
        return spans

    def _longest_gap(self, half: int) -> int | None:
        """Return the middle of the longest run of frames without speech from a frame on; None without such a run."""
        flags = np.array([True, *self.flags[half:], True])
        edges = np.flatnonzero(np.diff(flags.astype(np.int8)))
        starts, ends = edges[::2], edges[1::2]
        if not len(starts):
            return None
        longest = int((ends - starts).argmax())
        return half + int(starts[longest] + ends[longest]) // 2

    def _quietest(self, first: int) -> int:
        """Return the quietest frame from a frame on, counted from there."""
        edges = [self._sample(frame) for frame in range(first, self.now + 1)]
        waves = [self.buffer.span(start, end).wave for start, end in pairwise(edges)]
        return int(np.argmin([np.square(wave).sum() if len(wave) else np.inf for wave in waves]))

    def _spans(self, first: int, last: int, *, voiced: int) -> list[Span]:
        if voiced < self.least_voiced:
            return []
        end = min(self._sample(last), self.buffer.end)
        return [self.buffer.span(self._sample(max(first, self.floor)), end)]

    def _sample(self, frame: int) -> int:
        """Return the index of the first sample of a frame."""
        return round(frame * self.frame)
