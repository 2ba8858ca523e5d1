"""The config of a checkpoint as the base of a command line."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from ser_lightning.build import config_folder, usable_backends
from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.runs import complete


def argument(key: str) -> str | None:
    """Return the last ``key=value`` of the command line, without quotes."""
    values = [word.partition("=")[2] for word in sys.argv[1:] if word.partition("=")[0] == key]
    return values[-1].strip("'\"") if values else None


def offer_config(path: str | Path, *, without: tuple[str, ...] = (), other_corpus: bool = False) -> None:
    """Let the command's config start from the one in a checkpoint.

    Hydra composes before any code of a command runs, so the config must be known by then. What is offered is what a
    run is made of, in plain values, and nothing else: a key ``hydra`` would set up Hydra itself, whose logging creates
    files and calls what it is told to, and an interpolation would read the environment of whoever uses the checkpoint.

    Args:
        path: the checkpoint
        without: keys that mean something else to this command
        other_corpus: the command line has a corpus of its own; the one in the checkpoint is left out, and recordings
            are mixed down as the other one says

    Raises:
        InputError: the checkpoint cannot be read, or its config is not of a run

    """
    config = usable_backends(complete(read_checkpoint(path).config))
    _check_plain(config, path)
    config = {key: value for key, value in config.items() if key not in without}
    if other_corpus:
        config.pop("corpus", None)
        config["audio"] = config.get("audio", {}) | {"downmix": "${corpus.downmix}"}
    if "corpus" in config:
        config["corpus"] = _without_download(config["corpus"])
    ConfigStore.instance().store(group="stored", name="checkpoint", node=config, package="_global_")


def _without_download(corpus: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a corpus, and of its parts, with nothing to download: that was asked for then, not now."""
    if isinstance(corpus.get("parts"), dict):
        parts = {name: _without_download(part) for name, part in corpus["parts"].items() if isinstance(part, dict)}
        corpus = corpus | {"parts": corpus["parts"] | parts}
    return corpus | {"download": False} if "download" in corpus else corpus


def _check_plain(config: dict[str, Any], path: str | Path) -> None:
    """Refuse a config of anything but the parts of a run, in plain values.

    Raises:
        InputError: an unknown part, an object, a text that is not to be taken literally

    """
    primary: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / "train.yaml"))
    groups = {next(iter(entry)) for entry in primary["defaults"] if isinstance(entry, dict)}
    parts = {*primary, *groups} - {"defaults", "hydra"}
    for key in config:
        if key not in parts:
            raise InputError(
                f"{path}: the config in it has {key!r}, which is no part of a run; use a checkpoint that ser-train or"
                " ser-import has written"
            )
    for key in groups & config.keys():
        if not isinstance(config[key], dict):
            raise InputError(f"{path}: {key} in its config is {config[key]!r}; expected keys and values")
    todo: list[tuple[str, Any]] = list(config.items())
    while todo:  # no recursion: how deep it is nested is up to whoever made the file
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{key}.{name}", inner) for name, inner in value.items()]
            todo += [(f"{key}: a name", name) for name in value]
        elif isinstance(value, list):
            todo += [(f"{key}[{index}]", inner) for index, inner in enumerate(value)]
        elif isinstance(value, str) and "${" in value:
            raise InputError(f"{path}: {key} in its config is {value!r}; expected plain text, no interpolation")
        elif value is not None and type(value) not in (str, int, float, bool):
            raise InputError(f"{path}: {key} in its config is a {type(value).__name__}; expected a plain value")
