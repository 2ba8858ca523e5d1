"""Near-duplicate search: modified copies are found, other takes are not reported."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.splits import near_duplicates as module
from ser_lightning.splits.near_duplicates import RATE, near_duplicates

SPEECH_RATE = 16000
Wave = npt.NDArray[np.float64]


def speech(seed: int, *, sentence: int = 0) -> Wave:
    """Synthesize about two seconds of speech: formants depend on the sentence, pitch and timing on the take."""
    words, take = np.random.default_rng(sentence), np.random.default_rng(1000 + seed)
    parts = []
    for _ in range(8):
        formants = np.sort(words.uniform(250, 3000, size=3))
        n = int(SPEECH_RATE * words.uniform(0.15, 0.3) * take.uniform(0.85, 1.15))
        pitch = np.linspace(*(take.uniform(100, 220, size=2)), n) * (1 + 0.01 * take.standard_normal(n).cumsum() / 50)
        phase = 2 * np.pi * np.cumsum(pitch) / SPEECH_RATE
        partials = [
            np.sin(k * phase) * sum(np.exp(-(((k * 160 - f) / 150) ** 2)) for f in formants) for k in range(1, 25)
        ]
        parts.append(np.sum(partials, axis=0) * np.hanning(n))
    wave = np.concatenate(parts)
    return 0.5 * wave / np.abs(wave).max()


def noisy(wave: Wave, decibel: float) -> Wave:
    noise = np.random.default_rng(7).standard_normal(len(wave))
    return wave + noise * np.sqrt(np.mean(wave**2) / np.mean(noise**2)) * 10 ** (-decibel / 20)


COPIES: dict[str, Callable[[Wave], Wave]] = {
    "gain": lambda wave: 0.5 * wave,
    "much less gain": lambda wave: 1e-4 * wave,
    "sign": lambda wave: -wave,
    "5 ms later": lambda wave: np.concatenate([np.zeros(80), wave])[: len(wave)],
    "5 ms sooner": lambda wave: wave[80:],
    "half a second later": lambda wave: np.concatenate([np.zeros(8000), wave]),
    "noise at 30 dB": lambda wave: noisy(wave, 30),
    "noise at 10 dB": lambda wave: noisy(wave, 10),
    "a constant": lambda wave: wave + 0.3,
    "all of them": lambda wave: noisy(np.concatenate([np.zeros(100), -0.3 * wave]), 20),
}


def heard(wave: Wave, rate: int = SPEECH_RATE) -> npt.NDArray[np.float32]:
    return to_mono(wave.astype(np.float32)[:, None], rate, sampling_rate=RATE, downmix="mean", resampler="soxr")


@pytest.mark.parametrize("name", COPIES)
def test_modified_copy_is_found(name):
    wave = speech(0)
    ((one, other, correlation),) = near_duplicates({"b": heard(COPIES[name](wave)), "a": heard(wave)})
    assert (one, other) == ("a", "b")
    assert 0.9 <= correlation <= 1


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "wav"])
def test_reencoded_copy_is_found(tmp_path, suffix):
    wave = speech(1)
    path = tmp_path / f"copy.{suffix}"
    soundfile.write(path, wave, SPEECH_RATE, subtype="PCM_U8" if suffix == "wav" else None)
    copy, rate = read_audio(path)
    pairs = near_duplicates(
        {"a": heard(wave), "b": to_mono(copy, rate, sampling_rate=RATE, downmix="mean", resampler="soxr")}
    )
    assert [pair[:2] for pair in pairs] == [("a", "b")]


def test_takes_of_a_sentence_are_not_duplicates():
    assert near_duplicates({f"{seed}": heard(speech(seed)) for seed in range(12)}) == ()


def test_mixture_with_an_equally_loud_clip_is_not_a_duplicate():
    one, other = (heard(speech(sentence, sentence=sentence))[:RATE] for sentence in (0, 1))
    loudness = [np.linalg.norm(np.diff(wave)) for wave in (one, other)]
    mixed = one + other * (loudness[0] / loudness[1])  # correlates by about 0.71
    assert near_duplicates({"a": one, "b": mixed}) == ()


def test_planted_copy_is_the_only_duplicate_in_synthetic_speech(synthetic_clips):
    """The corpus has 60 clips of two voices, resynthesized from four sentences."""
    assert len(synthetic_clips) == 60
    assert near_duplicates(synthetic_clips) == ()
    name, wave = next(iter(synthetic_clips.items()))
    pairs = near_duplicates(synthetic_clips | {"copy": (0.1 * wave[3:]).astype(np.float32)})
    assert [pair[:2] for pair in pairs] == [(name, "copy")]


@pytest.fixture(scope="module")
def synthetic_clips(synthetic_root) -> dict[str, npt.NDArray[np.float32]]:
    from ser_lightning.corpora.synthetic import Synthetic

    corpus = Synthetic(root=synthetic_root, speakers=2, repetitions=1, workers=2, downmix="mean", merge=None)
    return {
        u.id: to_mono(*read_audio(u.path), sampling_rate=RATE, downmix="mean", resampler="soxr")
        for u in corpus.scan().utterances
    }


def test_three_copies_give_three_sorted_pairs():
    wave = speech(2)
    pairs = near_duplicates({"c": heard(wave), "a": heard(0.5 * wave), "x": heard(speech(3)), "b": heard(-wave)})
    assert [pair[:2] for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_result_does_not_depend_on_block_size(monkeypatch):
    waves = {f"{seed:02}": heard(speech(seed)) for seed in range(5)}
    waves |= {f"{copy} {name}": 0.7 * wave for copy in ("copy", "more") for name, wave in waves.items()}
    whole = near_duplicates(waves)
    assert len(whole) == 15
    for size in (1, 3 << 14):  # blocks of one wave, and of a few
        monkeypatch.setattr(module, "_BLOCK", size)
        assert near_duplicates(waves) == whole


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(RATE, np.float32),
        np.full(RATE, 0.5, np.float32),
        np.ones(1, np.float32),
        np.zeros(0, np.float32),
        np.array([0.1, -0.3, 0.2] * 100, np.float32),  # 75 ms
    ],
)
def test_silent_constant_or_short_waves_are_not_duplicates(wave):
    assert near_duplicates({"a": wave, "b": wave, "c": heard(speech(0))}) == ()
    assert near_duplicates({"a": wave}) == ()
    assert near_duplicates({}) == ()


def test_extreme_amplitudes_do_not_overflow():
    wave = heard(speech(0))
    assert len(near_duplicates({"a": wave * np.float32(1e30), "b": wave * np.float32(1e-25)})) == 1


def test_long_waves_are_compared_by_their_start(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST", RATE)
    one, other = heard(speech(4)), heard(speech(5))
    pairs = near_duplicates({"a": one, "b": np.concatenate([one[:RATE], other[RATE:]])})
    assert len(pairs) == 1
