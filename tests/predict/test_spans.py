"""Utterances and windows of a signal, fed in blocks of any size."""

import numpy as np
import pytest

from ser_lightning.audio.reader import to_mono
from ser_lightning.audio.resample import Resampler
from ser_lightning.audio.vad import WebRTCDetector, detect
from ser_lightning.predict.spans import SpeechSegmenter, WindowSegmenter

RATE = 1000  # Hz


class Loud:
    """A detector that takes loud frames for speech."""

    frame_s = 0.02

    def __init__(self) -> None:
        self.rest = np.zeros(0, np.float32)

    def feed(self, samples):
        wave = np.concatenate([self.rest, samples])
        count = len(wave) // 20
        self.rest = wave[count * 20 :]
        return [bool(frame.max() > 0.5) for frame in wave[: count * 20].reshape(-1, 20)]

    def finish(self):
        return self.feed(np.zeros(-len(self.rest) % 20, np.float32))


def signal(*parts: tuple[str, float]) -> np.ndarray:
    """Return loud ("s"), quiet ("q", taken for speech) and silent ("-") parts of the given seconds."""
    levels = {"s": 1.0, "q": 0.6, "-": 0.0}
    return np.concatenate([np.full(round(seconds * RATE), levels[kind], np.float32) for kind, seconds in parts])


def spans_of(segmenter, wave, block):
    found = [span for at in range(0, len(wave), block) for span in segmenter.feed(wave[at : at + block])]
    found += segmenter.finish()
    for span in found:
        np.testing.assert_array_equal(span.wave, wave[span.start : span.start + len(span.wave)])
    return [(span.start / RATE, (span.start + len(span.wave)) / RATE) for span in found]


@pytest.mark.parametrize("block", [7, 640, 100_000])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([("-", 3)], []),
        # two utterances with a margin of 0.1 s
        ([("-", 1), ("s", 2), ("-", 1), ("s", 2), ("-", 1)], [(0.9, 3.1), (3.9, 6.1)]),
        # a pause shorter than 0.5 s does not end an utterance
        ([("s", 1.5), ("-", 0.4), ("s", 1.5)], [(0, 3.4)]),
        # a short utterance goes on after the pause, or is widened to a second
        ([("-", 1), ("s", 0.4), ("-", 0.6), ("s", 2), ("-", 1)], [(0.9, 4.1)]),
        ([("-", 2), ("s", 0.4), ("-", 2)], [(1.7, 2.7)]),
        # a blip is no utterance
        ([("-", 2), ("s", 0.1), ("-", 2)], []),
        # a long utterance is cut at the longest gap of its second half, or where it is quietest
        ([("s", 3.5), ("-", 0.2), ("s", 2)], [(0, 3.6), (3.6, 5.7)]),
        ([("s", 3), ("q", 0.02), ("s", 2)], [(0, 3), (3, 5.02)]),
    ],
)
def test_utterances_do_not_depend_on_the_blocks(parts, expected, block):
    values = {"least": 1.0, "greatest": 4.0, "pause": 0.5, "margin": 0.1, "least_speech": 0.2}
    found = spans_of(SpeechSegmenter(rate=RATE, detector=Loud(), **values), signal(*parts), block)
    assert found == [pytest.approx(span, abs=0.021) for span in expected]


@pytest.mark.parametrize("block", [7, 500, 100_000])
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, [(0, 0.5)]),
        (2, [(0, 2)]),
        (4, [(0, 2), (1, 3), (2, 4)]),
        (4.3, [(0, 2), (1, 3), (2, 4), (2.3, 4.3)]),
    ],
)
def test_windows_cover_the_signal(seconds, expected, block):
    wave = np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    assert spans_of(WindowSegmenter(window=2 * RATE, hop=RATE), wave, block) == expected


@pytest.mark.parametrize("kind", ["soxr", "linear"])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_blocks_are_resampled_like_the_whole(rate, kind):
    wave = np.random.default_rng(0).standard_normal(12345).astype(np.float32)
    resampler = Resampler(rate, 16000, kind)
    blocks = [resampler.feed(wave[at : at + 1000]) for at in range(0, len(wave), 1000)]
    whole = to_mono(wave[:, None], rate, sampling_rate=16000, downmix="mean", resampler=kind)
    np.testing.assert_allclose(np.concatenate([*blocks, resampler.finish()]), whole, atol=1e-6)


def test_frames_are_classified_as_in_training():
    wave = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    wave[:8000] = 0
    detector = WebRTCDetector(rate=16000, mode=2, frame_ms=20)
    flags = [flag for at in range(0, len(wave), 999) for flag in detector.feed(wave[at : at + 999])]
    _, expected = detect(wave, sampling_rate=16000, mode=2, frame_ms=20)
    assert [*flags, *detector.finish()] == expected.tolist()
    assert 0 < sum(flags) < len(flags)
