import importlib.metadata
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from ser_lightning import runs
from ser_lightning.errors import InputError
from ser_lightning.runs import (
    LATER,
    UNSCIENTIFIC,
    checkout,
    complete,
    finished,
    provenance,
    science_digest,
    write_json,
)

CONFIG = {
    "name": "a",
    "run_id": "b",
    "output_root": "o",
    "folder": "o/a/b",
    "seed": 1,
    "logger": {"save_dir": "o"},
    "corpus": {"root": "/data", "download": False, "workers": 2, "downmix": "mean"},
    "data": {"store": "s", "workers": 2, "batch_size": 4},
    "callbacks": {"best": {"dirpath": "o"}, "last": {"dirpath": "o"}},
    "trainer": {"enable_progress_bar": True, "max_epochs": 3},
}


@pytest.mark.parametrize("key", UNSCIENTIFIC)
def test_where_things_lie_is_no_science(key):
    changed = json.loads(json.dumps(CONFIG))
    *parents, last = key.split(".")
    node = changed
    for parent in parents:
        node = node[parent]
    assert last in node
    node[last] = "elsewhere"
    assert science_digest(changed) == science_digest(CONFIG)


@pytest.mark.parametrize(
    ("group", "key"), [(None, "seed"), ("corpus", "downmix"), ("data", "batch_size"), ("trainer", "max_epochs")]
)
def test_everything_else_is(group, key):
    changed = json.loads(json.dumps(CONFIG))
    (changed if group is None else changed[group])[key] = 99
    assert science_digest(changed) != science_digest(CONFIG)


def test_where_the_parts_of_a_pool_lie_is_no_science_either():
    part = {"_target_": "x", "root": "/data", "download": False, "downmix": "mean", "merge": None}
    pool = CONFIG | {"corpus": {"parts": {"emodb": part, "emovo": part}, "merge": None}}
    changed = json.loads(json.dumps(pool))
    changed["corpus"]["parts"]["emovo"] |= {"root": "elsewhere", "download": True}
    assert science_digest(changed) == science_digest(pool)
    for key, value in (("downmix", "right"), ("merge", {"bored": "neutral"})):
        changed = json.loads(json.dumps(pool))
        changed["corpus"]["parts"]["emovo"][key] = value
        assert science_digest(changed) != science_digest(pool)


def test_a_younger_value_is_science_only_where_it_is_on():
    """So that the runs made before it are still found to be done."""
    older = CONFIG | {"audio": {"vad_mode": None}}
    full = complete(older)
    assert science_digest(full) == science_digest(older)
    digests = {science_digest(older)}
    for key, off in LATER.items():
        switches = [f"{key}.{name}" for name in off] if isinstance(off, dict) and off else [key]
        for switch in switches:
            changed = json.loads(json.dumps(full))
            *parents, last = switch.split(".")
            node = changed
            for parent in parents:
                node = node[parent]
            assert last in node
            node[last] = "on"
            digests.add(science_digest(changed))
    assert len(digests) == 1 + 2 + 1 + 2 + 2 + 1 + 1 + 1


def test_a_younger_value_that_is_given_stays():
    loss = {"_target_": "ser_lightning.loss.EmotionLoss", "class_weights": True, "label_smoothing": 0.1}
    given = {"scheduler": {"T_0": 3}, "loss": loss}
    assert complete(CONFIG | given) == complete(CONFIG) | given
    assert CONFIG.keys() & LATER.keys() == set()  # nothing was written into what was completed
    assert "merge" not in CONFIG["corpus"]


@pytest.mark.parametrize("part", ["loss", "evaluation"])
def test_the_class_of_a_part_is_science_where_it_is_another_one(part):
    """Runs made before these parts named a class are still found to be done."""
    full = complete(CONFIG)
    assert full[part]["_target_"].startswith(f"ser_lightning.{part}.")
    nameless = full | {part: {key: value for key, value in full[part].items() if key != "_target_"}}
    assert science_digest(full) == science_digest(nameless) == science_digest(CONFIG)
    assert complete(nameless) == full
    assert science_digest(full | {part: full[part] | {"_target_": "mine.Other"}}) != science_digest(full)


def test_so_is_a_younger_value_of_an_older_part():
    config = CONFIG | {"audio": {"vad_mode": None}}
    completed = complete(config)
    assert completed["audio"] == {"vad_mode": None, "offset_s": None, "duration_s": None}
    assert config["audio"] == {"vad_mode": None}
    assert science_digest(completed) == science_digest(config)
    changed = [science_digest(config | {"audio": {"vad_mode": None, key: 1.0}}) for key in ("offset_s", "duration_s")]
    assert len({science_digest(config), *changed}) == 3
    assert science_digest(config | {"audio": {}}) != science_digest(config)  # a value that is not younger


@pytest.mark.parametrize(("part", "beside"), [("features", "n_fft"), ("augment", "pitch_steps")])
def test_the_kernels_and_their_reference_are_different_configurations(part, beside):
    """Older runs used the kernels and do not name them; auto is what a run has before it knows."""
    older = CONFIG | {part: {beside: 1}}
    assert complete(older)[part]["backend"] == "native"
    named = {b: science_digest(CONFIG | {part: {beside: 1, "backend": b}}) for b in ("auto", "native", "librosa")}
    assert named["auto"] == named["native"] == science_digest(older) == science_digest(complete(older))
    assert named["librosa"] != named["native"]


def test_parts_without_kernels_get_no_backend():
    config = CONFIG | {"features": {"feature_set": "eGeMAPSv02"}, "augment": {"alpha": 0.2}}
    assert complete(config)["features"] == {"feature_set": "eGeMAPSv02"}
    assert complete(config)["augment"] == {"alpha": 0.2}


def test_a_result_is_found_by_its_digest(tmp_path):
    assert finished(tmp_path, "x") is None
    write_json(tmp_path / "result.json", {"digest": "x"})
    assert finished(tmp_path, "x") == {"digest": "x"}
    with pytest.raises(InputError, match=r"another configuration \(digest x, this one is y\)"):
        finished(tmp_path, "y")


def test_a_result_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_provenance_names_versions_and_machine():
    told = provenance()
    assert told["versions"]["ser-lightning"]
    assert told["versions"]["opensmile"] == importlib.metadata.version("opensmile")
    assert told["machine"]["cores"] >= 1
    assert told["git"] is None or len(told["git"]["commit"]) == 40


def test_optional_libraries_are_extras():
    """Whatever a bare installation lacks must not stop a run from naming its versions."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    required = {re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]}
    extras = {re.match(r"[\w.-]+", line)[0] for lines in project["optional-dependencies"].values() for line in lines}
    assert set(runs.LIBRARIES) <= required | {"ser-lightning"}
    assert set(runs.EXTRAS) <= extras - required
    assert "praat-parselmouth" not in required


def test_an_extra_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(runs, "EXTRAS", ("opensmile", "no-such-extra"))
    assert "no-such-extra" not in runs.versions()


def test_a_log_beside_the_code_makes_no_run_dirty(tmp_path):
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    assert checkout(tmp_path) is None
    for folder in ("src", "conf"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text("1")
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "x")
    (tmp_path / "train.log").write_text("1")
    clean = checkout(tmp_path)
    assert clean["dirty"] is False
    assert len(clean["commit"]) == 40
    (tmp_path / "src" / "b").write_text("1")  # not known to git, but it can be imported
    assert checkout(tmp_path) == clean | {"dirty": True}
