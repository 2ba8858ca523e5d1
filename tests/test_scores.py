"""Writing, reading and merging scores."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from studies.scores import Score, merge, origin, read_scores, write_scores

from ser_lightning.errors import InputError

ONE = Score(
    values={0: {"accuracy": 50.0, "uar": 40.0}, 1: {"accuracy": 60.0, "uar": 44.0}},
    clips=360,
    training_clips=864,
    parameters=10,
    seconds=1.5,
    epochs=80,
    unfinished=[],
    leaks=["leaks: a take"],
    commits=["b", "c"],
    devices=["cpu"],
    torch="2.11.0",
)
FEWER = replace(ONE, values={0: {"accuracy": 1.0, "uar": 1.0}}, commits=["a", "b"])


def test_write_and_read_scores_round_trip(tmp_path):
    path = tmp_path / "results" / "x.json"
    assert read_scores(path, overrides=[]) == {}
    write_scores(path, {"a": ONE, "b/c": FEWER}, overrides=["seed=0", "corpus=emodb"], command="make x")
    assert read_scores(path, overrides=["corpus=emodb", "seed=0"]) == {"a": ONE, "b/c": FEWER}
    elsewhere = ["hydra/launcher=ray", "+hydra.launcher.x=1", "corpus=emodb", "seed=0"]
    assert read_scores(path, overrides=elsewhere) == {"a": ONE, "b/c": FEWER}


def test_merge_keeps_scores_with_more_seeds():
    assert merge({"a": ONE, "b": FEWER}, {"a": FEWER, "b": ONE, "c": FEWER}) == {"a": ONE, "b": ONE, "c": FEWER}
    again = replace(ONE, seconds=2.0)
    assert merge({"a": ONE}, {"a": again}) == {"a": again}


def test_origin_lists_unique_commits_and_devices():
    assert origin([ONE, replace(FEWER, devices=["H200"])]) == "Commit a, b, c; trained on H200, cpu; torch 2.11.0."


def test_scores_with_other_overrides_raise(tmp_path):
    path = tmp_path / "x.json"
    write_scores(path, {"a": ONE}, overrides=["corpus=ravdess"], command="make x")
    with pytest.raises(InputError, match=r"x\.json .* corpus=ravdess, .* corpus=emodb"):
        read_scores(path, overrides=["corpus=emodb"])
    with pytest.raises(InputError, match="these runs have none"):
        read_scores(path, overrides=[])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"overrides": []}',
        '{"overrides": [], "scores": 3}',
        '{"overrides": [], "scores": {"a": {"values": {"x": {}}}}}',
        '{"overrides": [], "scores": {"a": {"values": {}, "clips": 1}}}',
        '{"overrides": null, "scores": {}}',
    ],
)
def test_damaged_scores_file_raises(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"x\.json is not a file of scores"):
        read_scores(path, overrides=[])


def test_committed_scores_are_readable():
    results = Path(__file__).parents[1] / "docs" / "results"
    for path in (results / "protocols.json", results / "systems.json"):
        had = json.loads(path.read_text())["overrides"]
        scores = read_scores(path, overrides=had)
        assert scores
        assert all(
            0 <= percent <= 100 for one in scores.values() for v in one.values.values() for percent in v.values()
        )
