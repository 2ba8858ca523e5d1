import importlib.metadata
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from ser_lightning import results
from ser_lightning.errors import InputError
from ser_lightning.results import (
    UNSCIENTIFIC,
    checkout,
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
    "corpus": {"root": "/data", "download": False, "follow_links": False, "workers": 2, "downmix": "mean"},
    "data": {"feature_cache": "s", "feature_workers": 2, "batch_size": 4},
    "callbacks": {"best": {"dirpath": "o"}, "last": {"dirpath": "o"}},
    "trainer": {"enable_progress_bar": True, "max_epochs": 3},
}


@pytest.mark.parametrize("key", UNSCIENTIFIC)
def test_digest_ignores_paths_and_other_unscientific_keys(key):
    configs = [json.loads(json.dumps(CONFIG)) for _ in range(2)]
    *parents, last = key.split(".")
    for config, value in zip(configs, ("here", "elsewhere"), strict=True):
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    assert science_digest(configs[0]) == science_digest(configs[1])


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


@pytest.mark.parametrize("part", ["features", "augment"])
def test_digest_is_the_same_for_auto_and_native_backends(part):
    digests = {name: science_digest(CONFIG | {part: {"backend": name}}) for name in ("auto", "native", "librosa")}
    assert digests["auto"] == digests["native"] != digests["librosa"]


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
