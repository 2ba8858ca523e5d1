"""Shards: parts of a corpus whose features are extracted by several processes into files of their own."""

import json
import threading

import numpy as np
import pytest
from tests.data.test_feature_cache import ALL, feature_cache, silent

from ser_lightning.data.feature_cache import FeatureCache, Shard
from ser_lightning.data.frames import JoinedFrames


def fill(cache: FeatureCache) -> None:
    assert cache.ensure(ALL, workers=1, progress=silent) == {}


def matrices(cache: FeatureCache) -> dict[tuple[str, str], bytes]:
    """Return the bytes of the features of every row."""
    frames, rows, _ = cache.open()
    return {key: frames[row.offset : row.offset + row.frames].tobytes() for key, row in rows.items()}


@pytest.fixture
def undivided(tmp_path, utterances) -> FeatureCache:
    cache = feature_cache(tmp_path / "undivided", utterances)
    fill(cache)
    return cache


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shards_hold_the_features_of_an_undivided_cache(tmp_path, utterances, undivided, count):
    for number in reversed(range(count)):
        fill(feature_cache(tmp_path / "shards", utterances, shard=Shard(number, count)))
    whole = feature_cache(tmp_path / "shards", utterances)
    fill(whole)
    assert not whole.file.data.exists()  # nothing was missing
    assert matrices(whole) == matrices(undivided)
    assert whole.open()[2] == undivided.open()[2]


def test_a_run_extracts_only_what_the_shards_lack(tmp_path, utterances, undivided):
    fill(feature_cache(tmp_path / "shards", utterances, shard=Shard(1, 2)))
    whole = feature_cache(tmp_path / "shards", utterances)
    fill(whole)
    assert {id_ for id_, _ in whole.file.read()[0]} == {"a", "c"}
    frames, _, _ = whole.open()
    assert isinstance(frames, JoinedFrames)
    assert frames.shape == undivided.open()[0].shape
    assert matrices(whole) == matrices(undivided)
    (tmp_path / "shards").chmod(0o555)  # a complete cache may be read-only
    fill(whole)


def test_a_stopped_shard_resumes(tmp_path, utterances, undivided):
    shard = feature_cache(tmp_path / "shards", utterances, shard=Shard(0, 2))
    assert shard.ensure({"a": ALL["a"]}, workers=1, progress=silent) == {}
    before = shard.file.data.read_bytes()
    with shard.file.data.open("ab") as file:
        file.write(b"written before the process was killed, and not in the index")
    fill(shard)
    assert shard.file.data.read_bytes().startswith(before)
    assert {id_ for id_, _ in shard.file.read()[0]} == {"a", "c"}
    fill(feature_cache(tmp_path / "shards", utterances, shard=Shard(1, 2)))
    assert matrices(feature_cache(tmp_path / "shards", utterances)) == matrices(undivided)


def test_a_damaged_shard_is_extracted_again(tmp_path, utterances, undivided, caplog):
    shard = feature_cache(tmp_path / "shards", utterances, shard=Shard(0, 2))
    fill(shard)
    shard.file.data.write_bytes(shard.file.data.read_bytes()[:-4])
    whole = feature_cache(tmp_path / "shards", utterances)
    fill(whole)
    assert str(shard.file.data) in caplog.text
    assert not shard.file.data.exists()
    assert matrices(whole) == matrices(undivided)


def test_a_run_waits_for_a_shard_and_a_shard_for_no_other(tmp_path, utterances, caplog):
    first = feature_cache(tmp_path, utterances, shard=Shard(0, 2))
    fill(first)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with first.file.locked():
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    fill(feature_cache(tmp_path, utterances, shard=Shard(1, 2)))
    assert "waiting" not in caplog.text
    first.file.index.write_text(json.dumps(json.loads(first.file.index.read_text()) | {"rows": []}))
    threading.Timer(0.3, release.set).start()
    fill(feature_cache(tmp_path, utterances))
    assert release.is_set()
    holder.join()
    assert "waiting for its lock" in caplog.text


def test_joined_frames_are_those_of_the_parts():
    parts = [np.arange(2 * n, dtype=np.float32).reshape(n, 2) for n in (3, 1, 2)]
    joined = JoinedFrames(parts)
    assert joined.shape == (6, 2)
    whole = np.concatenate(parts)
    for start, stop in ((0, 3), (1, 2), (3, 4), (4, 6), (5, 6)):
        np.testing.assert_array_equal(joined[start:stop], whole[start:stop])


@pytest.mark.slow
def test_run_on_shards_gives_the_result_of_an_undivided_cache(command, succeed, small, tmp_path):
    words = ["experiment=corrected", *small, f"output_root={tmp_path}", "hydra/launcher=joblib"]
    shards = f"data.feature_cache={tmp_path / 'shards'}"
    succeed("prepare", "--multirun", *words, shards, "data.shard=range(3)", "data.shards=3")
    assert not (tmp_path / "data_cards").exists()
    assert len(list((tmp_path / "shards").glob("*/frames-*-of-3.f32"))) == 3
    assert command("train", *words[:-1], shards, "name=shards").code == 0
    assert not list((tmp_path / "shards").glob("*/frames.f32"))
    assert command("train", *words[:-1], f"data.feature_cache={tmp_path / 'undivided'}", "name=undivided").code == 0
    one, two = (
        json.loads(next((tmp_path / name).rglob("result.json")).read_text()) for name in ("shards", "undivided")
    )
    for key in ("metrics", "history", "digest", "audit"):
        assert one[key] == two[key]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prepare", ["data.shard=2", "data.shards=2"]),
        ("prepare", ["data.shard=-1", "data.shards=2"]),
        ("prepare", ["data.shard=0"]),
        ("prepare", ["data.shards=2"]),
        ("prepare", ["data.shard=1.5", "data.shards=2"]),
        ("train", ["data.shard=0", "data.shards=2"]),
        ("train", ["data.shards=2"]),
    ],
)
def test_wrong_shards_end_in_one_line(refused, small, tmp_path, name, words):
    line = refused(name, *small, f"output_root={tmp_path}", *words)
    assert "data.shard" in line
    assert not list(tmp_path.rglob("frames*"))
