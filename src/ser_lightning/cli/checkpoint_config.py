"""Use the config stored in a checkpoint as the base config of a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ser_lightning.build import usable_backends
from ser_lightning.checkpoint import Checkpoint
from ser_lightning.cli.settings import change_config, compose_corpus, require_int, stored_groups
from ser_lightning.config_files import groups, primary_values
from ser_lightning.errors import InputError

PARTS = ("corpus", "split", "audio", "augment", "features", "data", "model", "seed", "threads", "checkpoint")
DROPOUT = "set model.dropout of the checkpoint instead: --set model.dropout=<value>"
TRUST = "give --trust <package>"
EXPERIMENT = "an experiment describes the training of a run; set the groups and values to change instead"


def config_of(
    checkpoint: Checkpoint,
    path: str | Path,
    settings: Sequence[str],
    *,
    without: Sequence[str] = (),
    corpora: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the config of a checkpoint with settings applied, as plain values.

    Checkpoints may come from untrusted sources: the config must consist of the known parts of a run. Its values are
    checked when it is read, and the classes that it names where they are built. Downloads that were requested in
    training are disabled.

    Args:
        checkpoint: the checkpoint as read
        path: its file, for messages
        settings: the user's settings, each ``key=value``
        without: parts of the config that the command does not use
        corpora: corpora to use in place of the training corpus, with their own setting for mixing down channels
        refused: key -> why this command cannot change it

    Raises:
        InputError: the config is not that of a run, or a setting does not fit it

    """
    config = usable_backends(checkpoint.config)
    _check_parts(config, path)
    config = {key: value for key, value in config.items() if key not in without}
    if corpora:
        config["corpus"] = compose_corpus(corpora)
        config["audio"] = config.get("audio", {}) | {"downmix": "${corpus.downmix}"}
    elif "corpus" in config:
        config["corpus"] = _without_download(config["corpus"])
    if "features" in config:
        config["features"] = _without_download(config["features"])
    refused = {"trust": TRUST, "dropout": DROPOUT, "experiment": EXPERIMENT, **(refused or {})}
    try:
        return change_config(config, settings, choices=stored_groups(*without), refused=refused)
    except RecursionError as error:
        raise InputError(f"{path}: its config is nested too deeply; use a checkpoint of ser-train") from error


def config_of_run(
    checkpoint: Checkpoint,
    path: str | Path,
    settings: Sequence[str],
    *,
    corpora: Sequence[str] = (),
    refused: Mapping[str, str],
) -> dict[str, Any]:
    """Return the config of a checkpoint whose run is evaluated again, and use its number of threads.

    Args:
        checkpoint: the checkpoint as read
        path: its file, for messages
        settings: the user's settings, each ``key=value``
        corpora: corpora to use in place of the training corpus
        refused: key -> why this command cannot change it

    Raises:
        InputError: the config is not that of a run, or a setting does not fit it

    """
    config = config_of(checkpoint, path, settings, corpora=corpora, refused=refused)
    require_parts(config, PARTS, path)
    torch.set_num_threads(require_int("threads", config["threads"], least=1))
    return config


def require_parts(config: Mapping[str, Any], parts: Sequence[str], path: str | Path) -> None:
    """Check that a config has the given parts.

    Raises:
        InputError: a part is missing

    """
    for part in parts:
        if part not in config:
            raise InputError(f"{path}: {part} is missing in its config; use a checkpoint that ser-train has written")


def _without_download(corpus: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a corpus, and of its parts, or of features, with ``download`` turned off."""
    if isinstance(corpus.get("parts"), dict):
        parts = {name: _without_download(part) for name, part in corpus["parts"].items() if isinstance(part, dict)}
        corpus = corpus | {"parts": corpus["parts"] | parts}
    return corpus | {"download": False} if "download" in corpus else corpus


def _check_parts(config: dict[str, Any], path: str | Path) -> None:
    """Check that a config contains only known parts of a run.

    Raises:
        InputError: there is an unknown part, or a part without keys and values

    """
    known = {*groups(), *primary_values("train")}
    for key in config:
        if key not in known:
            raise InputError(
                f"{path}: its config has the unknown part {key!r}; use a checkpoint that ser-train or"
                " ser-import has written"
            )
    for key in config.keys() & {*groups()}:
        if not isinstance(config[key], dict):
            raise InputError(f"{path}: {key} in its config is {config[key]!r}; expected keys and values")
