import importlib.metadata
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from ser_lightning import results
from ser_lightning.build import PACKAGES
from ser_lightning.errors import InputError
from ser_lightning.results import (
    LATER,
    UNSCIENTIFIC,
    checkout,
    complete,
    finished,
    provenance,
    science_digest,
    with_checkpoint_digest,
    write_json,
)

CONFIG = {
    "name": "a",
    "run_id": "b",
    "output_root": "o",
    "folder": "o/a/b",
    "seed": 1,
    "trust": [],
    "init_from": None,
    "logger": {"save_dir": "o"},
    "corpus": {"root": "/data", "download": False, "workers": 2, "downmix": "mean"},
    "data": {"feature_cache": "s", "feature_workers": 2, "batch_size": 4},
    "callbacks": {"best": {"dirpath": "o"}, "last": {"dirpath": "o"}},
    "trainer": {"enable_progress_bar": True, "max_epochs": 3},
}


@pytest.mark.parametrize("key", UNSCIENTIFIC)
def test_digest_ignores_paths_and_other_unscientific_keys(key):
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
def test_digest_depends_on_scientific_keys(group, key):
    changed = json.loads(json.dumps(CONFIG))
    (changed if group is None else changed[group])[key] = 99
    assert science_digest(changed) != science_digest(CONFIG)


def test_digest_ignores_paths_of_pooled_corpora():
    part = {"_target_": "x", "root": "/data", "download": False, "downmix": "mean", "merge": None}
    pool = CONFIG | {"corpus": {"parts": {"emodb": part, "emovo": part}, "merge": None}}
    changed = json.loads(json.dumps(pool))
    changed["corpus"]["parts"]["emovo"] |= {"root": "elsewhere", "download": True}
    assert science_digest(changed) == science_digest(pool)
    for key, value in (("downmix", "right"), ("merge", {"bored": "neutral"})):
        changed = json.loads(json.dumps(pool))
        changed["corpus"]["parts"]["emovo"][key] = value
        assert science_digest(changed) != science_digest(pool)


def test_digest_ignores_later_keys_at_disabled_defaults():
    """Otherwise runs made before the key was introduced would not be recognized as finished."""
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
    assert len(digests) == 1 + 2 + 1 + 2 + 2 + 1 + 1 + 1 + 3


def test_complete_keeps_given_values():
    loss = {"_target_": "ser_lightning.losses.EmotionLoss", "class_weights": True, "label_smoothing": 0.1}
    given = {"scheduler": {"T_0": 3}, "loss": loss}
    assert complete(CONFIG | given) == complete(CONFIG) | given
    assert CONFIG.keys() & LATER.keys() == set()  # the input was not changed
    assert "merge" not in CONFIG["corpus"]


@pytest.mark.parametrize("part", ["loss", "evaluation"])
def test_digest_ignores_default_target(part):
    """Runs made before these parts had a ``_target_`` must be recognized as finished."""
    full = complete(CONFIG)
    assert full[part]["_target_"].startswith(f"ser_lightning.{PACKAGES.get(part, part)}.")
    nameless = full | {part: {key: value for key, value in full[part].items() if key != "_target_"}}
    assert science_digest(full) == science_digest(nameless) == science_digest(CONFIG)
    assert complete(nameless) == full
    assert science_digest(full | {part: full[part] | {"_target_": "mine.Other"}}) != science_digest(full)


def test_digest_ignores_later_keys_of_existing_parts():
    config = CONFIG | {"audio": {"vad_mode": None}}
    completed = complete(config)
    assert completed["audio"] == {"vad_mode": None, "offset_s": None, "duration_s": None}
    assert config["audio"] == {"vad_mode": None}
    assert science_digest(completed) == science_digest(config)
    changed = [science_digest(config | {"audio": {"vad_mode": None, key: 1.0}}) for key in ("offset_s", "duration_s")]
    assert len({science_digest(config), *changed}) == 3
    assert science_digest(config | {"audio": {}}) != science_digest(config)  # vad_mode is not a later key


@pytest.mark.parametrize(("part", "beside"), [("features", "n_fft"), ("augment", "noise_sigma")])
def test_digest_distinguishes_native_and_librosa_backends(part, beside):
    """Older runs used the native kernels without naming them; ``auto`` is the value before the choice is made."""
    older = CONFIG | {part: {beside: 1}}
    assert complete(older)[part]["backend"] == "native"
    named = {b: science_digest(CONFIG | {part: {beside: 1, "backend": b}}) for b in ("auto", "native", "librosa")}
    assert named["auto"] == named["native"] == science_digest(older) == science_digest(complete(older))
    assert named["librosa"] != named["native"]


def test_complete_adds_no_backend_to_parts_without_kernels():
    config = CONFIG | {"features": {"feature_set": "eGeMAPSv02"}, "augment": {"alpha": 0.2}}
    assert complete(config)["features"] == {"feature_set": "eGeMAPSv02"}
    assert complete(config)["augment"] == {"alpha": 0.2}


def test_finished_returns_result_with_same_digest(tmp_path):
    config = {"name": "a", "seed": 1, "trainer": {"max_epochs": 2}}
    assert finished(tmp_path, config) is None
    result = {"digest": science_digest(config), "config": config}
    write_json(tmp_path / "result.json", result)
    assert finished(tmp_path, config | {"name": "b"}) == result
    with pytest.raises(InputError, match=rf"another configuration \(digest {result['digest']}"):
        finished(tmp_path, config | {"seed": 2})
    with pytest.raises(InputError, match=r"name=.* init_from=.*last\.ckpt"):
        finished(tmp_path, config | {"trainer": {"max_epochs": 3}})


def test_checkpoint_to_start_from_is_part_of_the_digest(tmp_path):
    config = {"init_from": str(tmp_path / "a.ckpt"), "init_from_sha256": None, "seed": 1}
    with pytest.raises(InputError, match=r"init_from is '.*a\.ckpt', which is no file"):
        with_checkpoint_digest(config)
    (tmp_path / "a.ckpt").write_bytes(b"a")
    (tmp_path / "b.ckpt").write_bytes(b"b")
    (tmp_path / "copy.ckpt").write_bytes(b"a")
    same, other = (with_checkpoint_digest(config | {"init_from": str(tmp_path / f"{n}.ckpt")}) for n in ("copy", "b"))
    assert science_digest(with_checkpoint_digest(config)) == science_digest(same) != science_digest(other)
    with pytest.raises(InputError, match=r"init_from_sha256 requires"):
        with_checkpoint_digest(config | {"init_from_sha256": other["init_from_sha256"]})
    without = {"init_from": None, "init_from_sha256": None, "seed": 1}
    assert with_checkpoint_digest(without) == without
    with pytest.raises(InputError, match="without init_from"):
        with_checkpoint_digest(without | {"init_from_sha256": "x"})


def test_write_json_rejects_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_provenance_has_versions_and_machine():
    found = provenance()
    assert found["versions"]["ser-lightning"]
    assert found["versions"]["opensmile"] == importlib.metadata.version("opensmile")
    assert found["machine"]["cores"] >= 1
    assert found["git"] is None or len(found["git"]["commit"]) == 40


def test_version_lists_match_dependencies_and_extras():
    """A run must record its versions even if optional libraries are not installed."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    required = {re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]}
    extras = {re.match(r"[\w.-]+", line)[0] for lines in project["optional-dependencies"].values() for line in lines}
    assert set(results.LIBRARIES) <= required | {"ser-lightning"}
    assert set(results.EXTRAS) <= extras - required
    assert "praat-parselmouth" not in required


def test_versions_omit_missing_extras(monkeypatch):
    monkeypatch.setattr(results, "EXTRAS", ("opensmile", "no-such-extra"))
    assert "no-such-extra" not in results.versions()


def test_untracked_log_does_not_make_checkout_dirty(tmp_path):
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
    (tmp_path / "src" / "b").write_text("1")  # untracked, but importable
    assert checkout(tmp_path) == clean | {"dirty": True}
