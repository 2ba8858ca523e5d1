"""Near-duplicate search: modified copies are found, other takes are not reported."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.splits import near_duplicates as module
from ser_lightning.splits.near_duplicates import BANDS, RATE, SAME, correlate, near_duplicates, signature

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


def at_4_khz(wave: Wave, rate: int = SPEECH_RATE) -> npt.NDArray[np.float32]:
    return to_mono(wave.astype(np.float32)[:, None], rate, sampling_rate=RATE, downmix="mean", resampler="soxr")


def find(waves: Mapping[str, npt.NDArray[np.float32]]) -> tuple[tuple[str, str, float], ...]:
    signatures = {name: found for name, wave in waves.items() if (found := signature(wave)) is not None}
    return near_duplicates(list(signatures), np.array(list(signatures.values())).reshape(-1, BANDS), waves.__getitem__)


@pytest.mark.parametrize("name", COPIES)
def test_modified_copy_is_found(name):
    wave = speech(0)
    ((one, other, correlation),) = find({"b": at_4_khz(COPIES[name](wave)), "a": at_4_khz(wave)})
    assert (one, other) == ("a", "b")
    assert 0.9 <= correlation <= 1


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "wav"])
def test_reencoded_copy_is_found(tmp_path, suffix):
    wave = speech(1)
    path = tmp_path / f"copy.{suffix}"
    soundfile.write(path, wave, SPEECH_RATE, subtype="PCM_U8" if suffix == "wav" else None)
    copy, rate = read_audio(path)
    pairs = find({"a": at_4_khz(wave), "b": to_mono(copy, rate, sampling_rate=RATE, downmix="mean", resampler="soxr")})
    assert [pair[:2] for pair in pairs] == [("a", "b")]


def test_takes_of_a_sentence_are_not_duplicates():
    assert find({f"{seed}": at_4_khz(speech(seed)) for seed in range(12)}) == ()


def test_mixture_with_an_equally_loud_clip_is_not_a_duplicate():
    one, other = (at_4_khz(speech(sentence, sentence=sentence))[:RATE] for sentence in (0, 1))
    loudness = [np.linalg.norm(np.diff(wave)) for wave in (one, other)]
    mixed = one + other * (loudness[0] / loudness[1])  # correlates by about 0.71
    assert find({"a": one, "b": mixed}) == ()


def test_planted_copy_is_the_only_duplicate_in_synthetic_speech(synthetic_clips):
    """The corpus has 60 clips of two voices, resynthesized from four sentences."""
    assert len(synthetic_clips) == 60
    assert find(synthetic_clips) == ()
    name, wave = next(iter(synthetic_clips.items()))
    pairs = find(synthetic_clips | {"copy": (0.1 * wave[3:]).astype(np.float32)})
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
    pairs = find({"c": at_4_khz(wave), "a": at_4_khz(0.5 * wave), "x": at_4_khz(speech(3)), "b": at_4_khz(-wave)})
    assert [pair[:2] for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_result_does_not_depend_on_block_size(monkeypatch):
    waves = {f"{seed:02}": at_4_khz(speech(seed)) for seed in range(5)}
    waves |= {f"{copy} {name}": 0.7 * wave for copy in ("copy", "more") for name, wave in waves.items()}
    whole = find(waves)
    assert len(whole) == 15
    for size, many in ((1, 0), (4, 0), (4, 1)):
        monkeypatch.setattr(module, "_BLOCK", size)
        monkeypatch.setattr(module, "_PAIRS", size)
        monkeypatch.setattr(module, "_MANY", many)
        assert find(waves) == whole


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
    assert find({"a": wave, "b": wave, "c": at_4_khz(speech(0))}) == ()
    assert find({"a": wave}) == ()
    assert find({}) == ()


def test_extreme_amplitudes_do_not_overflow():
    wave = at_4_khz(speech(0))
    assert len(find({"a": wave * np.float32(1e30), "b": wave * np.float32(1e-25)})) == 1


def test_long_waves_are_compared_by_their_start(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST", RATE)
    one, other = at_4_khz(speech(4)), at_4_khz(speech(5))
    pairs = find({"a": one, "b": np.concatenate([one[:RATE], other[RATE:]])})
    assert len(pairs) == 1


def bounds(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the bounds by wide bands and by all bands."""
    both = np.stack([signature(one), signature(other)]).astype(np.float32)
    wide = module._merge_bands(both, module._wide_bands(both))
    return float(wide[0] @ wide[1]), float(both[0] @ both[1])


@pytest.mark.parametrize("name", [*COPIES, "noise at 3 dB", "its first half", "another take", "another sentence"])
def test_bounds_are_not_below_the_correlation(name):
    """Pairs are left out by the bounds, so these must hold, whatever the correlation is."""
    change = COPIES | {
        "noise at 3 dB": lambda wave: noisy(wave, 3),
        "its first half": lambda wave: wave[: len(wave) // 2],
        "another take": lambda _: speech(1),
        "another sentence": lambda _: speech(0, sentence=1),
    }
    one, other = at_4_khz(speech(0)), at_4_khz(change[name](speech(0)))
    coarse, fine = bounds(one, other)
    correlation = correlate(module._unit(one), module._unit(other))
    assert correlation - module._MARGIN / 2 < fine <= coarse + 1e-4


@pytest.mark.real
@pytest.mark.parametrize("corpus", ["ravdess", "emodb", "emovo"])
def test_search_finds_what_comparing_all_pairs_finds(corpus, request):
    """All pairs of every twentieth clip of a published corpus and a noisy copy of it."""
    root = request.getfixturevalue(f"{corpus}_root")
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".wav", ".flac"))[::20]
    waves = {
        path.stem: to_mono(*read_audio(path), sampling_rate=RATE, downmix="mean", resampler="soxr") for path in paths
    }
    waves |= {f"{name} noisy": noisy(wave, 12).astype(np.float32) for name, wave in waves.items()}
    units = {name: module._unit(wave) for name, wave in sorted(waves.items())}
    names = list(units)
    size = 2 * max(map(len, units.values()))
    spectra = np.stack([np.abs(np.fft.rfft(unit, size)) for unit in units.values()]).astype(np.float32)
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)
    expected = {
        (names[i], names[j])
        for i, j in np.argwhere(np.triu(spectra @ spectra.T, 1) >= SAME - 1e-3).tolist()
        if correlate(units[names[i]], units[names[j]]) >= SAME
    }
    assert len(expected) > len(paths) / 3
    assert {pair[:2] for pair in find(waves)} == expected
