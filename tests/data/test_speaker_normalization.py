"""Normalization by speaker: the values, what they depend on, and what they do not."""

import numpy as np
import pytest
from tests.data.test_feature_cache import AUDIO, AUGMENT, FEATURES, settings_of

from ser_lightning.audio.audio import Audio
from ser_lightning.augment.waveform import WaveformCopies
from ser_lightning.corpora.utterance import Scan
from ser_lightning.data.preparation import Preparation
from ser_lightning.data.speaker_normalization import _place, normalize_by_speaker
from ser_lightning.errors import InputError
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.splits.split import Split

SPEAKERS = {"a": "s", "b": "s", "c": "t", "d": "u", "e": "u", "f": "u", "g": "v"}
MEMBERS = {
    "train": [("a", ""), ("b", ""), ("c", ""), ("a", "soft"), ("b", "soft"), ("c", "soft")],
    "val": [("g", "")],
    "test": [("d", ""), ("e", ""), ("f", "")],
}


def made(seed: int = 0, lengths: int = 0) -> tuple[dict, np.ndarray]:
    """Return random clips by (utterance, copy), and the positions of each; all of one length if it is given."""
    generator = np.random.default_rng(seed)
    clips = {
        key: generator.normal(5, 3, size=(lengths or generator.integers(2, 6), 4)).astype(np.float32)
        for keys in MEMBERS.values()
        for key in keys
    }
    return clips, np.concatenate(list(clips.values()))


def normalized(clips: dict, *, online: bool = False, prior_clips: float = 10, members: dict = MEMBERS) -> dict:
    """Return the normalized clips."""
    ends = np.cumsum([len(clip) for clip in clips.values()])
    places = {key: slice(int(end) - len(clip), int(end)) for (key, clip), end in zip(clips.items(), ends, strict=True)}
    frames = normalize_by_speaker(
        np.concatenate(list(clips.values())),
        clips=places,
        members=members,
        speakers=SPEAKERS,
        online=online,
        prior_clips=prior_clips,
    )
    return {key: frames[places[key]] for keys in members.values() for key in keys}


def standardized(clip: np.ndarray, own: list[np.ndarray]) -> np.ndarray:
    frames = np.concatenate(own).astype(np.float64)
    return (clip - frames.mean(axis=0)) / frames.std(axis=0)


def test_each_speaker_is_normalized_by_own_clips():
    clips, _ = made()
    found = normalized(clips)
    for keys in ([("a", ""), ("b", "")], [("a", "soft"), ("b", "soft")], [("c", "")], MEMBERS["test"], MEMBERS["val"]):
        for key in keys:
            expected = standardized(clips[key], [clips[other] for other in keys])
            np.testing.assert_allclose(found[key], expected, atol=1e-4)
            assert found[key].dtype == np.float32


def test_speaker_in_two_subsets_has_statistics_of_each():
    clips, _ = made()
    members = {"train": [("a", "")], "val": [], "test": [("b", "")]}
    found = normalized({key: clips[key] for key in [("a", ""), ("b", "")]}, members=members)
    np.testing.assert_allclose(found["b", ""], standardized(clips["b", ""], [clips["b", ""]]), atol=1e-4)


def test_constant_feature_is_only_centered():
    clips, _ = made()
    for clip in clips.values():
        clip[:, 1] = 7
    assert np.abs(normalized(clips)["d", ""][:, 1]).max() < 1e-6


def test_online_statistics_do_not_depend_on_later_clips():
    clips, _ = made()
    before = normalized(clips, online=True)
    order = sorted(MEMBERS["test"], key=_place)
    for number, changed in enumerate(order):
        others = dict(clips)
        others[changed] = clips[changed] * 3 - 40
        after = normalized(others, online=True)
        same = [np.array_equal(after[key], before[key]) for key in order]
        assert same == [place < number for place in range(len(order))]
    assert order != sorted(order)  # not the order of the ids, which is often that of the emotions


def test_online_statistics_start_from_those_of_training():
    clips, _ = made(lengths=5)
    found = normalized(clips, online=True, prior_clips=2)
    train = [clips[key] for key in MEMBERS["train"]]
    groups = [["a", "b"], ["c"]]
    centered = [
        standardized_away
        for copy in ("", "soft")
        for group in groups
        for own in [np.concatenate([clips[id_, copy] for id_ in group]).astype(np.float64)]
        for standardized_away in [own - own.mean(axis=0)]
    ]
    mean = np.concatenate(train).mean(axis=0, dtype=np.float64)
    variance = np.square(np.concatenate(centered)).mean(axis=0)
    own = clips["g", ""].astype(np.float64)  # the only clip of its speaker
    weights = 2 * 5, len(own)
    first = (weights[0] * mean + own.sum(axis=0)) / sum(weights)
    second = (weights[0] * (variance + mean**2) + np.square(own).sum(axis=0)) / sum(weights)
    np.testing.assert_allclose(found["g", ""], (own - first) / np.sqrt(second - first**2), atol=1e-4)
    for key in MEMBERS["train"]:
        np.testing.assert_array_equal(found[key], normalized(clips)[key])


def test_online_without_prior_uses_own_clips_alone():
    clips, _ = made()
    found = normalized(clips, online=True, prior_clips=0)
    last = sorted(MEMBERS["test"], key=_place)[-1]
    np.testing.assert_allclose(found[last], normalized(clips)[last], atol=1e-4)


def test_online_needs_training_clips():
    clips, _ = made()
    members = MEMBERS | {"train": []}
    with pytest.raises(InputError, match=r"data\.normalize=speaker"):
        normalized(clips, online=True, members=members)


class Listed:
    """Corpus of given utterances."""

    name, emotions = "listed", ("calm", "angry")

    def __init__(self, utterances):
        self.utterances = tuple(utterances)

    def scan(self) -> Scan:
        return Scan(utterances=self.utterances, problems=())


@pytest.fixture
def prepared(utterances, tmp_path):
    """Prepare four clips of two speakers, with the changes given by utterance id."""

    def prepare(mode: str = "speaker", **changes) -> Preparation:
        speakers = {"a": "s", "b": "s", "c": "t", "d": "t"}
        listed = [
            u.__class__(**{f: getattr(u, f) for f in u.__dataclass_fields__} | {"speaker": speakers[u.id], **changes})
            for u in utterances
        ]
        values = {"audio": Audio(**AUDIO), "augment": WaveformCopies(**AUGMENT)}
        values["features"] = Spectral162(**FEATURES | {"log": True, "standardize": True})
        preparation = Preparation(
            **{"corpus": Listed(listed), "split": lambda _: Split(train=("a", "b"), val=("c",), test=("d",))},
            **{"augment_first": False, "feature_cache": tmp_path / "cache", "feature_workers": 1},
            **{"normalize": mode, "prior_clips": 10, "settings": settings_of(values)},
            **values,
        )
        preparation.prepare()
        return preparation

    return prepare


def clips_of(preparation: Preparation) -> dict:
    return {
        (id_, copy): preparation.frames[row.offset : row.offset + row.frames]
        for (id_, copy), row in preparation.rows.items()
    }


@pytest.mark.parametrize("mode", ["speaker", "speaker_online"])
def test_labels_are_never_read(prepared, mode):
    before, after = clips_of(prepared(mode)), clips_of(prepared(mode, emotion="angry"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_cached_features_are_shared_and_unchanged(prepared):
    raw, by_speaker = clips_of(prepared("none")), clips_of(prepared("speaker"))
    own = [raw["a", ""], raw["b", ""]]
    for clip, id_ in zip(own, "ab", strict=True):
        frames = np.concatenate(own).astype(np.float64)
        scale = np.where(frames.std(axis=0) > 1e-8, frames.std(axis=0), 1)
        np.testing.assert_allclose(by_speaker[id_, ""], (clip - frames.mean(axis=0)) / scale, atol=1e-2)


def test_missing_speakers_are_refused_with_the_column(prepared):
    with pytest.raises(InputError, match=r"4 of 4, such as a\..*corpus\.columns\.speaker"):
        prepared("speaker", speaker=None)
    assert prepared("none", speaker=None).normalize == "none"


@pytest.mark.parametrize("prior", [-1, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(prepared, prior):
    with pytest.raises(InputError, match=r"data\.prior_clips"):
        Preparation(
            **dict.fromkeys(("corpus", "split", "audio", "augment", "features", "settings")),
            **{"augment_first": False, "feature_cache": "x", "feature_workers": 1, "normalize": "none"},
            prior_clips=prior,
        )
