"""Configs as the commands compose them, for tests."""

from copy import deepcopy
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser_lightning.build import config_folder
from ser_lightning.cli.settings import parse_value
from ser_lightning.config_files import groups

CONF = config_folder()


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(*overrides: str, command: str = "train") -> dict[str, Any]:
    """Return the config of a command as plain types.

    Call this in tests and fixtures, not while pytest collects the tests: every worker collects all of them.
    """
    return deepcopy(_composed(command, *overrides))


def changed(config: dict[str, Any], *words: str) -> dict[str, Any]:
    """Set the values ``key=value`` in a config, which is much faster than composing another one."""
    for word in words:
        key, _, text = word.partition("=")
        *sections, last = key.lstrip("+").split(".")
        part = config
        for name in sections:
            part = part[name]
        part[last] = parse_value(key, text)
    return config


def configured(*words: str) -> dict[str, Any]:
    """Compose the options of groups among the words, and set the other words as values."""
    options_ = [word for word in words if word.partition("=")[0] in groups()]
    return changed(composed(*options_), *(word for word in words if word not in options_))


@cache
def _composed(command: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(command, overrides=["run_id=x", *overrides])
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
    return values
