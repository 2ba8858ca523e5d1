"""The site fails on broken links and missing documentation, and the commands in the documentation exist."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from documentation import pages
from documentation.__main__ import SETTINGS, broken_resources, missing_pages
from documentation.api_reference import _undocumented, undocumented
from documentation.command_reference import command_pages
from documentation.config_reference import config_pages
from documentation.pictures import PROTOCOLS, mean_uar
from typer.main import get_command

from ser_lightning import config_files
from ser_lightning.config_comments import read_comments

ROOT = Path(__file__).parents[1]
WRITTEN = [path for path in pages.sources() if path.name != "CHANGELOG.md" and path.suffix == ".md"]
HYDRA = ("ser-train", "ser-prepare", "ser-audit")
OWN = ("mynet", "mine", "interviews", "contours")  # options of the reader's own project


def commands(path: Path) -> list[list[str]]:
    """Return the words of each call of a command of this project in the shell blocks of a page."""
    blocks = re.findall(r"^ *```(?:sh|bash)?\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = []
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r" && | \| ", line):
                words = shlex.split(part, comments=True)
                if words and words[0].startswith("ser-"):
                    found.append(words)
    return found


CALLS = [(path, words) for path in WRITTEN for words in commands(path)]


def test_pages_hold_commands():
    assert len(CALLS) > 45
    assert {words[0] for path, words in CALLS if path.name == "README.md" and path.parent == ROOT} >= {*HYDRA}


@pytest.mark.parametrize(("path", "words"), CALLS, ids=lambda value: value.name if isinstance(value, Path) else None)
def test_options_of_documented_commands_exist(path, words):
    command, *arguments = words
    if command in HYDRA:
        assert unknown_overrides(command.removeprefix("ser-"), arguments) == []
    else:
        module = {"ser-import": "import_weights"}.get(command, command.removeprefix("ser-"))
        app = get_command(import_module(f"ser_lightning.cli.{module}").APP)
        known = {name for option in app.params for name in option.opts} | {"--help"}
        assert {word for word in arguments if re.match(r"--?[a-z]", word)} <= known


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_blocks_in_lists_are_indented_by_four_spaces(path):
    """The site's Markdown ends a list before a block that is indented by less."""
    assert re.findall(r"^ {1,3}(?:```|- |[0-9]+[.] ).*", path.read_text(encoding="utf-8"), re.MULTILINE) == []


def unknown_overrides(name: str, arguments: list[str]) -> list[str]:
    """Return the words that are neither an option of a group, nor a key, nor an option of Hydra."""
    pairs = [word.partition("=")[::2] for word in arguments if "=" in word]
    chosen = {key: text for key, text in pairs if key in config_files.groups() and "," not in text and text not in OWN}
    keys = config_files.keys(name, chosen)
    unknown = []
    for key, text in pairs:
        if key in config_files.groups():
            options = text.strip("[]").split(",")
            unknown += [f"{key}={o}" for o in options if o not in (*config_files.options(key), *OWN) and "<" not in o]
        elif not (key in keys or key.startswith(("+", "hydra", "corpus/parts", "corpus.parts", "callbacks", "logger"))):
            unknown.append(key)
    return unknown


def test_unknown_overrides_are_found():
    assert unknown_overrides("train", ["modle=svm", "model=svn", "optim.lr=1", "data.batchsize=2"]) == [
        "modle",
        "model=svn",
        "data.batchsize",
    ]


def test_every_key_option_and_name_is_documented():
    command, missing = command_pages()
    groups, unexplained = config_pages()
    assert (missing, unexplained, undocumented()) == ([], [], [])
    assert "| `seed` | `0` | seed of weights" in command["ser-train"]
    assert "--reject" in command["ser-predict"]
    assert "| `sampling_rate` | `${audio.sampling_rate}` | rate of the input waves, Hz |" in groups["features"]
    assert set(groups) == {*config_files.groups(), "hydra_launcher"}


def test_missing_documentation_is_found(tmp_path, monkeypatch):
    class Public:
        """A class.

        Args:
            given: explained

        """

        def __init__(self, *, given: int, other: int) -> None: ...

        def method(self) -> None: ...

    Public.__module__ = "ser_lightning.fake"
    assert _undocumented("Public", Public) == ["Public: no entry 'other' in Args", "Public.method: no docstring"]

    group = tmp_path / "loss"
    group.mkdir()
    (group / "new.yaml").write_text("# New.\nshare: 1  # explained\nfactor: 2\n")
    (tmp_path / "train.yaml").write_text("defaults: []\n")
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    for module in ("config_files", "config_comments"):
        monkeypatch.setattr(f"ser_lightning.{module}.config_folder", lambda: tmp_path)
    caches = (config_files.groups, config_files.options, config_files.read_file, read_comments)
    for cached in caches:
        cached.cache_clear()
    try:
        assert config_pages()[1] == ["conf/loss/new.yaml: factor"]
    finally:
        for cached in caches:
            cached.cache_clear()


def test_pages_and_resources_that_are_missing_are_found(tmp_path):
    nav = yaml.safe_load(SETTINGS.read_text())["nav"]
    assert missing_pages(nav) == []
    assert "splits.md is not in nav of documentation/site.yml" in missing_pages([{"Home": "index.md"}])
    (tmp_path / "there.png").touch()
    (tmp_path / "index.html").write_text(
        '<img src="there.png"><img alt="" src=gone.png><script src="https://example.org/x.js"></script>'
    )
    assert broken_resources(tmp_path) == [
        "index.html needs gone.png, which does not exist",
        "index.html loads https://example.org/x.js from another host",
    ]


def test_broken_links_fail_the_build(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "mkdocs.yml").write_text("site_name: x\ndocs_dir: pages\nsite_dir: html\ntheme: {font: false}\n")
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(tmp_path / "mkdocs.yml")]
    for text, code in (("[here](index.md#hi)", 0), ("[gone](gone.md)", 1), ("[gone](index.md#gone)", 1)):
        (tmp_path / "pages" / "index.md").write_text(f"# Hi\n\n{text}\n")
        assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == code


def test_links_of_pages_are_adapted():
    source = ROOT / "README.md"
    assert pages._relinked("[a](docs/splits.md#x) ![b](docs/bugs.png)", source, "index.md") == (
        "[a](splits.md#x) ![b](bugs.png)"
    )
    example = ROOT / "examples" / "own_project" / "README.md"
    assert pages._relinked("[a](../../docs/own_code.md)", example, "examples/own_project.md") == "[a](../own_code.md)"
    assert pages._relinked("[a](LICENSE) [b](gone.md)", source, "index.md") == "a (`LICENSE`) [b](gone.md)"


def test_picture_has_the_published_figures():
    text = (ROOT / "docs" / "protocols.md").read_text()
    for protocol in PROTOCOLS:
        assert f"| `{protocol}` |" in text
        assert f"{mean_uar(protocol):.1f}" in next(line for line in text.splitlines() if f"| `{protocol}` |" in line)
