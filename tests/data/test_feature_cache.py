import importlib.metadata
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.configs import composed, options

from ser_lightning.audio.audio import Audio
from ser_lightning.augment.waveform import WaveformCopies
from ser_lightning.build import build
from ser_lightning.corpora.audio_files import sha256
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.augmentation import FeatureAugment, WaveformAugment, copy_names
from ser_lightning.data.feature_cache import FeatureCache, Shard, corpus_digest
from ser_lightning.features.spectral162 import Spectral162

AUDIO = {
    **{"sampling_rate": 16000, "downmix": "mean", "resampler": "soxr", "vad_mode": 2, "frame_ms": 20},
    **{"offset_s": None, "duration_s": None},
}
AUGMENT = {"seed": 0, "sampling_rate": 16000, "noise_sigma": 0.01, "pitch_steps": [3], "pcm16": False}
FEATURES = {
    **{
        "sampling_rate": 16000,
        "analysis_rate": 16000,
        "filterbank_rate": 16000,
        "n_fft": 2048,
        "hop_length": 512,
    },
    **{"window": "hann", "n_chroma": 12, "n_mfcc": 20, "n_mels": 128, "log": False, "standardize": False},
}


def silent(results, _total):
    return results


def feature_cache(folder: Path, utterances: list[Utterance], shard: Shard | None = None, **change) -> FeatureCache:
    parts = {
        "audio": Audio(**AUDIO | {"vad_mode": None}),
        "augment": WaveformCopies(**AUGMENT),
        "features": Spectral162(**FEATURES),
        **change,
    }
    return FeatureCache(folder=folder, utterances=utterances, settings=settings_of(parts), shard=shard, **parts)


def settings_of(parts) -> dict[str, dict[str, object]]:
    """Return the config sections that would have built these parts."""
    return {name: {"_target_": type(part).__qualname__, **asdict(part)} for name, part in parts.items()}


ALL = dict.fromkeys("abcd", ("", "noise", "pitch+3"))


def test_cache_contains_features_of_every_copy(tmp_path, utterances):
    s = feature_cache(tmp_path / "cache", utterances)
    assert s.ensure(ALL, workers=1, progress=silent) == {}
    frames, rows, without_speech = s.open()
    assert set(rows) == {(id_, name) for id_, names in ALL.items() for name in names}
    assert without_speech == []
    for utterance in utterances:
        wave = s.audio.load(utterance.path).wave
        for name, copy in {"": wave, **s.augment(wave, utterance=utterance.id)}.items():
            row = rows[utterance.id, name]
            np.testing.assert_array_equal(frames[row.offset : row.offset + row.frames], s.features(copy))


@pytest.mark.parametrize(
    "option",
    [pytest.param(name, marks=() if name == "paper" else pytest.mark.slow) for name in options("augment")],
)
def test_cached_augmentations_do_not_depend_on_workers(tmp_path, utterances, option):
    augment = build("augment", composed(f"augment={option}")["augment"])
    wanted = dict.fromkeys("abcd", ("", *copy_names(augment)))
    caches = [feature_cache(tmp_path / f"cache{workers}", utterances, augment=augment) for workers in (1, 2)]
    for workers, s in enumerate(caches, start=1):
        assert s.ensure(wanted, workers=workers, progress=silent) == {}
    assert caches[0].file.data.read_bytes() == caches[1].file.data.read_bytes()
    assert caches[0].file.index.read_text() == caches[1].file.index.read_text()
    frames, rows, _ = caches[0].open()
    assert set(rows) == {(id_, name) for id_, names in wanted.items() for name in names}
    assert np.isfinite(frames).all()
    # Each row equals the features of the copy when computed separately.
    wave = caches[0].audio.load(utterances[1].path).wave
    original = caches[0].features(wave)
    waves = augment(wave, utterance="b") if isinstance(augment, WaveformAugment) else {}
    made = {name: caches[0].features(copy) for name, copy in waves.items()}
    if isinstance(augment, FeatureAugment):
        made |= augment.augment_features(original, utterance="b")
    for name, matrix in ({"": original} | made).items():
        row = rows["b", name]
        np.testing.assert_allclose(frames[row.offset : row.offset + row.frames], matrix, rtol=1e-4, atol=1e-4)


def test_options_without_copies_share_one_cache(tmp_path, utterances):
    def cache_of(option: str) -> Path:
        return feature_cache(
            tmp_path, utterances, augment=build("augment", composed(f"augment={option}")["augment"])
        ).folder

    without = {"none", "spec_augment", "mixup", "spectrogram"}
    assert len({cache_of(option) for option in without}) == 1
    assert len({cache_of(option) for option in options("augment")}) == 1 + len(set(options("augment")) - without)


def test_feature_copies_do_not_require_cached_original(tmp_path, utterances):
    augment = build("augment", composed("augment=daarip", "augment.images=3")["augment"])
    s = feature_cache(tmp_path, utterances, augment=augment)
    assert s.ensure({"a": ("",)}, workers=1, progress=silent) == {}
    assert s.ensure({"a": ("", "image02"), "b": ("image01",)}, workers=1, progress=silent) == {}
    frames, rows, _ = s.open()
    assert set(rows) == {("a", ""), ("a", "image02"), ("b", "image01")}
    row = rows["b", "image01"]
    expected = augment.augment_features(s.features(s.audio.load(utterances[1].path).wave), utterance="b")["image01"]
    np.testing.assert_allclose(frames[row.offset : row.offset + row.frames], expected, rtol=1e-4, atol=1e-4)


def test_cache_bytes_do_not_depend_on_workers(tmp_path, utterances):
    caches = {workers: feature_cache(tmp_path / f"cache{workers}", utterances) for workers in (1, 2, 3)}
    for workers, s in caches.items():
        s.ensure(ALL, workers=workers, progress=silent)
    assert len({s.file.data.read_bytes() for s in caches.values()}) == 1
    assert len({s.file.index.read_text() for s in caches.values()}) == 1


@pytest.mark.parametrize("slot", [4, 30_000, 2**23])  # bytes, with room for none, some or all of the features
def test_shared_memory_size_does_not_change_features(tmp_path, utterances, monkeypatch, slot):
    clean, s = feature_cache(tmp_path / "clean", utterances), feature_cache(tmp_path / "cache", utterances)
    clean.ensure(ALL, workers=1, progress=silent)
    for name, value in {"FILES_PER_TASK": 1, "TASKS_PER_WORKER": 1, "SLOT_BYTES": slot}.items():
        monkeypatch.setattr(f"ser_lightning.data.extract.{name}", value)
    s.ensure(ALL, workers=2, progress=silent)
    assert s.file.data.read_bytes() == clean.file.data.read_bytes()
    assert s.file.index.read_text() == clean.file.index.read_text()


def test_cached_features_are_not_recomputed(tmp_path, utterances):
    seen = []

    def watch(results, total):
        seen.append(total)
        return results

    s = feature_cache(tmp_path / "cache", utterances)
    s.ensure({"a": ("",), "b": ("",)}, workers=1, progress=watch)
    before = s.open()[1]["a", ""]
    data = s.file.data.read_bytes()
    s.ensure({"a": ("", "noise"), "b": ("",)}, workers=1, progress=watch)
    s.ensure({"a": ("", "noise")}, workers=1, progress=watch)
    assert seen == [2, 1]
    assert s.file.data.read_bytes().startswith(data)
    assert s.open()[1]["a", ""] == before


def test_open_cache_is_read_only_and_unaffected_by_growth(tmp_path, utterances):
    s = feature_cache(tmp_path / "cache", utterances)
    s.ensure({"a": ("",)}, workers=1, progress=silent)
    frames, rows, _ = s.open()
    before = frames.copy()
    s.ensure(ALL, workers=1, progress=silent)
    np.testing.assert_array_equal(frames, before)
    with pytest.raises(ValueError, match="read-only"):
        frames[rows["a", ""].offset] = 0


def test_partial_data_of_killed_build_is_truncated(tmp_path, utterances):
    clean = feature_cache(tmp_path / "clean", utterances)
    clean.ensure(ALL, workers=1, progress=silent)
    s = feature_cache(tmp_path / "cache", utterances)
    s.ensure({"a": ALL["a"]}, workers=1, progress=silent)
    with s.file.data.open("ab") as file:
        file.write(b"half a matrix")
    s.ensure(ALL, workers=1, progress=silent)
    assert s.file.data.read_bytes() == clean.file.data.read_bytes()


def test_clip_without_voiced_frames_is_listed(tmp_path, utterances):
    soundfile.write(utterances[1].path, np.zeros(8000), 16000)
    utterances[1] = replace(utterances[1], digest=sha256(utterances[1].path))
    s = feature_cache(tmp_path / "cache", utterances, audio=Audio(**AUDIO))
    s.ensure({"b": ("",)}, workers=1, progress=silent)
    assert s.open()[2] == ["b"]


@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_clip_is_reported_and_others_are_cached(tmp_path, utterances, workers):
    utterances[2].path.write_text("no sound")
    s = feature_cache(tmp_path / "cache", utterances)
    failures = s.ensure(ALL, workers=workers, progress=silent)
    assert list(failures) == ["c"]
    assert str(utterances[2].path) in failures["c"]
    assert {id_ for id_, _ in s.open()[1]} == {"a", "b", "d"}


def test_cache_key_covers_corpus_and_feature_config(tmp_path, utterances):
    folders = {
        feature_cache(tmp_path, utterances).folder,
        feature_cache(tmp_path, [replace(utterances[0], digest="other"), *utterances[1:]]).folder,
        feature_cache(tmp_path, utterances[1:]).folder,
        feature_cache(tmp_path, utterances, audio=Audio(**AUDIO)).folder,
        feature_cache(tmp_path, utterances, audio=Audio(**AUDIO | {"offset_s": 0.1})).folder,
        feature_cache(tmp_path, utterances, audio=Audio(**AUDIO | {"duration_s": 0.1})).folder,
        feature_cache(tmp_path, utterances, augment=WaveformCopies(**AUGMENT | {"noise_sigma": 0.02})).folder,
        feature_cache(tmp_path, utterances, features=Spectral162(**FEATURES | {"log": True})).folder,
    }
    assert len(folders) == 8
    assert feature_cache(tmp_path, utterances[::-1]).folder in folders


def test_clips_use_downmix_of_their_corpus(tmp_path, utterances):
    """Cache four stereo clips of two corpora together."""
    rng = np.random.default_rng(1)
    stereo = []
    for number, utterance in enumerate(utterances):
        path = tmp_path / f"{utterance.id}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal((9000, 2)), 16000)
        stereo.append(replace(utterance, path=path, digest=sha256(path), corpus=("one", "two")[number % 2]))
    values = AUDIO | {"vad_mode": None}
    s = feature_cache(tmp_path / "cache", stereo, audio=Audio(**values | {"downmix": {"one": "mean", "two": "right"}}))
    assert s.ensure(dict.fromkeys("abcd", ("",)), workers=2, progress=silent) == {}
    frames, rows, _ = s.open()
    for utterance in stereo:
        way = {"one": "mean", "two": "right"}[utterance.corpus]
        alone = s.features(Audio(**values | {"downmix": way}).load(utterance.path).wave)
        row = rows[utterance.id, ""]
        np.testing.assert_array_equal(frames[row.offset : row.offset + row.frames], alone)
    one_way = feature_cache(tmp_path / "cache", stereo, audio=Audio(**values | {"downmix": "mean"}))
    assert one_way.folder != s.folder


def test_corpus_digest_does_not_depend_on_order(utterances):
    assert corpus_digest(utterances) == corpus_digest(utterances[::-1])


def libraries_of(folder: Path, utterances, **change) -> set[str]:
    return set(feature_cache(folder, utterances, **change).spec["libraries"])


def test_cache_key_names_only_the_libraries_that_shape_the_features(tmp_path, utterances):
    kernels, always = "ser-lightning-kernels", {"numpy", "soundfile", "soxr"}
    assert libraries_of(tmp_path, utterances) == {*always, kernels}
    assert libraries_of(tmp_path, utterances, audio=Audio(**AUDIO)) == {*always, kernels, "webrtcvad-wheels"}
    reference = {
        "features": Spectral162(**FEATURES, backend="librosa"),
        "augment": WaveformCopies(**AUGMENT | {"pitch_steps": [12]}, backend="torchaudio"),
    }
    assert libraries_of(tmp_path, utterances, **reference) == {*always, "librosa", "scipy", "torch", "torchaudio"}
    for option, library in (("prosody", "praat-parselmouth"), ("egemaps", "opensmile")):
        features = build("features", composed(f"features={option}")["features"])
        assert library in libraries_of(tmp_path, utterances, features=features)


@pytest.mark.parametrize(
    ("library", "shapes"),
    [("numpy", True), ("soxr", True), ("soundfile", True)]
    + [(name, False) for name in ("ser-lightning", "torch", "librosa", "scipy", "webrtcvad-wheels", "scikit-learn")],
)
def test_version_of_a_library_voids_the_cache_only_if_it_shapes_the_features(
    tmp_path, utterances, monkeypatch, library, shapes
):
    before, version = feature_cache(tmp_path, utterances).folder, importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.3" if name == library else version(name))
    assert (feature_cache(tmp_path, utterances).folder != before) == shapes


def test_version_of_the_kernels_voids_the_cache_of_the_native_backend_only(tmp_path, utterances, monkeypatch):
    native = {"augment": WaveformCopies(**AUGMENT | {"pitch_steps": []}), "features": Spectral162(**FEATURES)}
    reference = native | {"features": Spectral162(**FEATURES, backend="librosa")}
    before = [feature_cache(tmp_path, utterances, **parts).folder for parts in (native, reference)]
    monkeypatch.setattr("ser_lightning.data.feature_cache.source_digest", lambda: "other")
    after = [feature_cache(tmp_path, utterances, **parts).folder for parts in (native, reference)]
    assert after[0] != before[0]
    assert after[1] == before[1] != before[0]


def test_version_of_the_features_voids_the_cache_and_standardization_does_not(tmp_path, utterances, monkeypatch):
    before = feature_cache(tmp_path, utterances).folder
    standardized = Spectral162(**FEATURES | {"standardize": True})
    assert feature_cache(tmp_path, utterances, features=standardized).folder == before
    monkeypatch.setattr(Spectral162, "version", 2)
    assert feature_cache(tmp_path, utterances).folder != before
