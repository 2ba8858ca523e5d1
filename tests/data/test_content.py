"""Tests of audio digests, near-duplicate detection and their cache."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_lightning.corpora.audio_files import sha256
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.content import cached_contents, read_contents

RATE = 16000


def sound(seed: int) -> np.ndarray:
    """Return noise quantized to 16 bits, which every lossless format stores exactly."""
    return np.random.default_rng(seed).integers(-9000, 9000, RATE) / 32768


def read(paths: dict[str, Path], workers: int = 2):
    return read_contents(paths, segments={}, workers=workers, progress=lambda results, _: results)


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    for name, wave, rate, subtype in (
        ("one.wav", sound(0), RATE, "PCM_16"),
        ("one.flac", sound(0), RATE, "PCM_16"),
        ("one24.wav", sound(0), RATE, "PCM_24"),
        ("softer.wav", sound(0) / 2, RATE, "PCM_24"),
        ("stereo.wav", np.stack([sound(0)] * 2, axis=1), RATE, "PCM_16"),
        ("interleaved.wav", np.repeat(sound(0), 2), RATE, "PCM_16"),  # same audio bytes as stereo.wav
        ("faster.wav", sound(0), 2 * RATE, "PCM_16"),
        ("other.wav", sound(1), RATE, "PCM_16"),
    ):
        soundfile.write(tmp_path / name, wave, rate, subtype=subtype)
    (tmp_path / "bad.wav").write_text("no sound")
    return {path.name: path for path in tmp_path.iterdir()}


def test_digest_is_the_same_in_every_lossless_format(files):
    samples = read(files).samples
    assert samples["one.wav"] == samples["one.flac"] == samples["one24.wav"]
    others = [samples[name] for name in ("one.wav", "softer.wav", "stereo.wav", "interleaved.wav", "other.wav")]
    others.append(samples["faster.wav"])
    assert len(set(others)) == 6


def test_scaled_and_stereo_versions_are_near_duplicates(files):
    contents = read(files)
    name_of = {digest: name for name, digest in sorted(contents.samples.items(), reverse=True)}
    pairs = {frozenset((name_of[one], name_of[other])) for one, other, _ in contents.near}
    assert pairs == {
        frozenset(("one.flac", "softer.wav")),
        frozenset(("one.flac", "stereo.wav")),
        frozenset(("softer.wav", "stereo.wav")),
    }


def test_unreadable_files_are_reported(files):
    contents = read(files)
    assert set(contents.unread) == {"bad.wav"}
    assert str(files["bad.wav"]) in contents.unread["bad.wav"]
    assert "bad.wav" not in contents.samples


def test_contents_do_not_depend_on_workers(files):
    assert read(files, workers=1) == read(files, workers=5)


@pytest.fixture
def utterances(tmp_path) -> list[Utterance]:
    folder = tmp_path / "corpus"
    folder.mkdir()
    made = []
    for i in range(3):
        path = folder / f"{i}.wav"
        soundfile.write(path, sound(0) / 2**i, RATE, subtype="PCM_24")
        words = dict.fromkeys(("corpus", "speaker", "gender", "emotion", "intensity", "statement"), "x")
        made.append(Utterance(id=f"{i}", path=path, digest=sha256(path), **words))
    return made


def stored(utterances, folder, calls):
    def progress(results, total):
        calls.append(total)
        return results

    return cached_contents(utterances, folder=folder, workers=1, progress=progress)


def test_contents_of_a_corpus_are_cached(utterances, tmp_path):
    calls = []
    first = stored(utterances, tmp_path / "store", calls)
    assert len(first.near) == 3
    assert stored(utterances[::-1], tmp_path / "store", calls) == first
    assert calls == [3]


def test_changed_corpus_is_read_again(utterances, tmp_path):
    calls = []
    first = stored(utterances, tmp_path / "store", calls)
    soundfile.write(utterances[0].path, sound(5), RATE)
    changed = [replace(utterances[0], digest=sha256(utterances[0].path)), *utterances[1:]]
    assert stored(changed, tmp_path / "store", calls) != first
    assert calls == [3, 3]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"samples": 1, "near": []}', '{"samples": {}, "near": [[1]]}'])
def test_damaged_cache_file_is_rebuilt(utterances, tmp_path, content):
    calls = []
    first = stored(utterances, tmp_path / "store", calls)
    (path,) = (tmp_path / "store").iterdir()
    path.write_text(content)
    assert stored(utterances, tmp_path / "store", calls) == first
    assert json.loads(path.read_text())["near"]
    assert calls == [3, 3]


def test_unreadable_files_are_retried(utterances, tmp_path):
    calls = []
    utterances[0].path.rename(tmp_path / "away.wav")
    assert len(stored(utterances, tmp_path / "store", calls).unread) == 1
    (tmp_path / "away.wav").rename(utterances[0].path)
    assert stored(utterances, tmp_path / "store", calls).unread == {}
    assert calls == [3, 3]


def test_unwritable_cache_folder_is_tolerated(utterances, tmp_path):
    (tmp_path / "file").write_text("in the way")
    contents = stored(utterances, tmp_path / "file", [])
    assert not contents.unread
    assert len(contents.samples) == len({utterance.digest for utterance in utterances})
