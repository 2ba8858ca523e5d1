"""Command line of the Hydra commands: paths are kept as typed, errors give the nearest valid name."""

import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ser_lightning.cli.overrides import parse_overrides, quote_text, quote_text_values, restore_typed_text
from ser_lightning.cli.run_id import value_text
from ser_lightning.cli.settings import parse_value
from ser_lightning.errors import full_disk

TYPED = ["2026", "2026_11_27", "1e5", "true", "nan", "[a,b]", "a-b"]


@pytest.mark.parametrize("text", TYPED)
def test_paths_and_names_are_kept_as_typed(text):
    keys = ("name", "run_id", "output_root", "output", "data.feature_cache", "corpus.root", "corpus.parts.emodb.root")
    config = OmegaConf.create({})
    for key in keys:
        OmegaConf.update(config, key, 1)
    words = [f"{key}={text}" for key in keys]
    restore_typed_text(config, words)
    if text != "a-b":  # Hydra itself reads this value as text
        assert [OmegaConf.select(config, key) for key in keys] == [text] * len(keys)
    assert [override.value() for override in parse_overrides(quote_text_values(words))] == [text] * len(keys)


@pytest.mark.parametrize("text", ["null", "Null"])
@pytest.mark.parametrize("key", ["output", "corpus.root", "corpus.path", "corpus.parts.emodb.root", "data_card"])
def test_null_is_no_path(key, text):
    words = [f"{key}={text}"]
    config = OmegaConf.create({})
    OmegaConf.update(config, key, None)
    restore_typed_text(config, words)
    assert OmegaConf.select(config, key) is None
    assert quote_text_values(words) == words
    (override,) = parse_overrides(quote_text_values([f"{key}={text},./null,1e5"]))
    assert list(override.sweep_string_iterator()) == ["null", "./null", "'1e5'"]
    assert parse_value(key, text) is None
    assert parse_value(key, "./null") == "./null"


@pytest.mark.parametrize("key", ["name", "run_id", "output_root"])
def test_null_is_the_text_of_a_name(key):
    config = OmegaConf.create({key: None})
    restore_typed_text(config, [f"{key}=null"])
    assert config[key] == parse_value(key, "null") == "null"
    (override,) = parse_overrides(quote_text_values([f"{key}=null"]))
    assert override.value() == "null"


@pytest.mark.parametrize(
    "word",
    ["optim.lr=1e5", "seed=2026", "corpus.merge=null", "split.fold=range(3)", "name=a-${seed}", "name='1'", "--help"],
)
def test_other_values_are_left_to_hydra(word):
    assert quote_text_values([word]) == [word]


def test_swept_paths_are_kept_as_typed():
    (override,) = parse_overrides(quote_text_values(["corpus.root=2026_11,/a,'b c'"]))
    assert override.is_sweep_override()
    assert list(override.sweep_string_iterator()) == ["'2026_11'", "/a", "'b c'"]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="$\x00\n\r"), min_size=1))
def test_quote_round_trips(text):
    (override,) = parse_overrides([f"x={quote_text(text)}"])
    assert override.value() == text


@given(*2 * (st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text())),))
def test_value_text_is_injective(one, other):
    assert (value_text(one) == value_text(other)) == (json.dumps(one) == json.dumps(other))


def test_run_in_folders_named_like_numbers(succeed, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeed("train", *small, "trainer.max_epochs=1", "output_root=2026", "name=2026_11_27", "run_id=1e5")
    result = json.loads((tmp_path / "2026" / "2026_11_27" / "1e5" / "result.json").read_text())
    assert (result["name"], result["run_id"]) == ("2026_11_27", "1e5")
    assert {path.name for path in tmp_path.iterdir()} == {"2026"}


def test_audit_output_file_named_like_a_number(command, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word for word in small if not word.startswith(("trainer", "data.batch"))]
    assert command("audit", *words, "output=2026").code == 0
    assert json.loads((tmp_path / "2026").read_text())["corpus"] == "synthetic"


def test_audit_without_output_file(command, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word for word in small if not word.startswith(("trainer", "data.batch"))]
    assert command("audit", *words, "output=null").code == 0
    assert not (tmp_path / "null").exists()


def test_corpus_folder_named_like_a_number(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("prepare", "corpus=emodb", "corpus.root=1e5")
    assert done.code == 1
    assert "1e5: no such folder" in done.err


@pytest.mark.parametrize(
    ("name", "word", "named"),
    [
        ("prepare", "corpsu=emodb", ("'corpsu'", "'corpus'")),
        ("audit", "optmi.lr=1", ("'optmi.lr'", "'optim.lr'")),
        ("train", "loss.class_weight=true", ("'loss.class_weight'", "'loss.class_weights'")),
        ("train", "experiment=[released,serch]", ("experiment=serch", "'search'")),
        ("train", "name=a b(1)", ("\"name='a b(1)'\"",)),
    ],
)
def test_typos_are_reported_with_the_nearest_valid_name(refused, name, word, named):
    line = refused(name, word)
    assert line.startswith(f"ser-{name}: ")
    assert all(text in line for text in named), line


def test_full_disk_is_found_in_an_exception_chain():
    full, other, last = OSError(errno.ENOSPC, "No space left on device"), ValueError("x"), RuntimeError("y")
    last.__context__ = other
    other.__cause__ = full
    assert full_disk(last) is full
    full.errno = errno.ENOENT
    full.__context__ = last  # a cycle
    assert full_disk(last) is None
