"""Speech detection by Silero's network."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile
import soxr
import torch

import ser_lightning as ser
from ser_lightning.audio.silero import BEGIN, GO_ON, RATE, SileroDetector, open_silero, seconds_of_speech
from ser_lightning.errors import InputError
from ser_lightning.predict.spans import SpeechSegmenter

needs_silero = pytest.mark.skipif(find_spec("silero_vad") is None, reason="silero-vad (extra silero) is not installed")


@pytest.fixture(scope="module")
def speech(synthetic_root) -> np.ndarray:
    """Four synthetic clips with a second of silence after each."""
    parts = []
    for clip in ser.load_corpus("synthetic_small", root=synthetic_root)[:4]:
        wave, rate = soundfile.read(clip.path, dtype="float32")
        parts += [soxr.resample(wave, rate, RATE), np.zeros(RATE, np.float32)]
    return np.concatenate(parts)


def flags_of(wave: np.ndarray, *, rate: int = RATE, block: int) -> list[bool]:
    detector = SileroDetector(rate=rate)
    return [flag for at in range(0, len(wave), block) for flag in detector.feed(wave[at : at + block])] + (
        detector.finish()
    )


@needs_silero
@pytest.mark.parametrize("rate", [8000, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (16000, 44100))])
def test_frames_do_not_depend_on_the_blocks(speech, rate):
    wave = soxr.resample(speech, RATE, rate)
    whole = flags_of(wave, rate=rate, block=len(wave))
    assert len(whole) == pytest.approx(len(speech) / 512, abs=1.01)
    assert 0.2 < np.mean(whole) < 0.9
    for block in (rate // 100, 2**14):
        assert flags_of(wave, rate=rate, block=block) == whole


@needs_silero
@pytest.mark.filterwarnings("ignore")
def test_frames_are_those_of_the_package(speech):
    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # the package changes it
    expected, now = [], False
    for probability in load_silero_vad(sequence=True).audio_forward(speech):
        now = bool(probability >= (GO_ON if now else BEGIN))
        expected.append(now)
    assert flags_of(speech, block=5000) == expected


@needs_silero
def test_utterances_are_found_and_silence_and_noise_hold_none(speech):
    values = {"least": 1.0, "greatest": 10.0, "pause": 0.5, "margin": 0.1, "least_speech": 0.3}

    def spans(wave, block):
        segmenter = SpeechSegmenter(rate=RATE, detector=SileroDetector(rate=RATE), **values)
        found = [span for at in range(0, len(wave), block) for span in segmenter.feed(wave[at : at + block])]
        return [(span.start, len(span.wave)) for span in found + segmenter.finish()]

    found = spans(speech, 4000)
    assert len(found) == 4
    assert spans(speech, len(speech)) == found
    noise = 0.1 * np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    assert spans(noise, 4000) == spans(0 * noise, 4000) == []
    assert seconds_of_speech(noise, RATE) == 0


def test_missing_package_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.path", [str(tmp_path)])  # no package can be found
    monkeypatch.delitem(sys.modules, "silero_vad", raising=False)
    open_silero.cache_clear()
    with pytest.raises(InputError, match=r"--vad silero needs silero-vad .*pip install 'ser-lightning\[silero\]'"):
        open_silero()
