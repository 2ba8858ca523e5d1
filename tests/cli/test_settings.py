"""``--set key=value`` for the config of a checkpoint and for one composed from ``conf/``."""

import math
import re

import pytest

from ser_lightning.cli.settings import change_config, compose_config, compose_corpus, parse_value, stored_groups
from ser_lightning.config_files import options, values_of
from ser_lightning.errors import InputError

STORED = {
    "seed": 0,
    "output_root": "outputs",
    "corpus": {"root": None, "downmix": "mean", "merge": None},
    "audio": {"sampling_rate": 16000, "downmix": "interleave", "own": 1},
    "model": {"mlp": [60, 50], "dropout": 0.25},
    "scheduler": {},
}


def change(*settings: str) -> dict:
    return change_config(STORED, settings, choices=stored_groups("experiment"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("null", None),
        ("[60,50]", [60, 50]),
        ("{calm: neutral}", {"calm": "neutral"}),
        ("a b", "a b"),
        ("'3'", "3"),
        ("Recording (1).wav", "Recording (1).wav"),
        ("a=b", "a=b"),
        ("it's", "it's"),
        ("録音", "録音"),
        ("", ""),
    ],
)
def test_values_are_parsed_like_hydra_or_kept_as_text(text, value):
    assert parse_value("model.x", text) == value


@pytest.mark.parametrize("text", ["2023_01_05", "1e5", "007", "nan", "true", "[x]", "{a}", "a,b", "a=b", "録音 (1)"])
@pytest.mark.parametrize("key", ["corpus.root", "corpus.parts.emodb.root", "data.feature_cache", "output_root", "name"])
def test_paths_and_names_are_kept_as_typed(key, text):
    assert parse_value(key, text) == text


def test_home_folder_in_a_path_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_value("corpus.root", "~/ravdess") == f"{tmp_path}/ravdess"
    assert parse_value("name", "~/ravdess") == "~/ravdess"


def test_settings_change_only_their_keys():
    changed = change("seed=3", "model.dropout=0.5", "model.mlp=[1]", "corpus.merge={calm: neutral}", "corpus.root=1e5")
    assert changed == STORED | {
        "seed": 3,
        "model": {"mlp": [1], "dropout": 0.5},
        "corpus": {"root": "1e5", "downmix": "mean", "merge": {"calm": "neutral"}},
    }
    assert math.isnan(change("model.dropout=nan")["model"]["dropout"])
    assert change("seed=1", "seed=2")["seed"] == 2
    assert change() == STORED


def test_option_replaces_the_whole_group():
    audio = change("audio.vad_mode=1", "audio=untrimmed")["audio"]  # values are applied after options, in any order
    assert audio["vad_mode"] == 1
    assert "own" not in audio
    assert audio["downmix"] == "mean"  # resolved from the corpus
    assert change("scheduler=none")["scheduler"] == {}
    assert change("corpus.downmix=right", "audio=untrimmed")["audio"]["downmix"] == "right"


@pytest.mark.parametrize("group", stored_groups("experiment", "callbacks", "logger", "split"))
@pytest.mark.slow
def test_options_of_every_group_can_be_selected(group):
    # The interpolations of an option must resolve in the config of a checkpoint; options with the same ones are alike.
    used = {option: frozenset(re.findall(r"\${[^}]*}", str(values_of(group, option)))) for option in options(group)}
    for option in {interpolations: option for option, interpolations in used.items()}.values():
        base = STORED | {
            "dropout": {"p": 0.1},
            "features": {"standardize": True},
            "optim": {"lr": 0.1},
            "monitor": "val/uar",
            "mode": "max",
        }
        assert isinstance(change_config(base, [f"{group}={option}"], choices=[group])[group], dict)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sead=3", "unknown key 'sead'; the nearest valid name is 'seed'"),
        ("model.dropuot=1", "the nearest valid name is 'model.dropout'"),
        ("++model.dropout=1", "the nearest valid name is 'model.dropout'"),
        ("zzz=1", "unknown key 'zzz'; expected one of seed, output_root, corpus"),
        ("audio=untrimed", "the nearest valid name is 'untrimmed'"),
        ("audio=[webrtc]", "no such option"),
        ("seed=1,2", "gives several values"),
        ("seed=range(3)", "gives several values"),
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("model.mlp.a=3", "unknown key 'model.mlp.a'"),
        ("seed='${nothing}'", "cannot be resolved"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(setting, message):
    with pytest.raises(InputError) as refused:
        change(setting)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_composed_config_resolves_references_to_changed_values():
    config = compose_config({}, ["dropout=p50", "audio.sampling_rate=8000", "run_id=2026"], choices=["dropout"])
    assert config["model"]["dropout"] == 0.5
    assert config["features"]["sampling_rate"] == 8000
    assert config["folder"] == "outputs/train/2026"
    parts = compose_config({"features": "paper"}, ["audio=untrimmed"], choices=["audio"], keys=["audio", "features"])
    assert parts.keys() == {"audio", "features"}
    assert parts["features"]["log"] is False


def test_pooled_corpora_keep_their_own_downmix():
    assert compose_corpus(["emovo"]).downmix == "right"
    for names in (["emodb", "emovo"], ["emodb,emovo"], ["[emodb, emovo]"]):
        pool = compose_corpus(names)
        assert list(pool.parts) == ["emodb", "emovo"]
        assert {key: pool._get_node("downmix")._get_node(key)._value() for key in pool.parts} == {
            "emodb": "${corpus.parts.emodb.downmix}",
            "emovo": "${corpus.parts.emovo.downmix}",
        }
