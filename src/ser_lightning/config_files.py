"""Read the YAML files of the configuration without Hydra, for fast help, completion and error messages."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HYDRA = "hydra"  # folder and section that configure Hydra itself


def config_folder() -> Path:
    """Return the folder of the YAML files: inside the installed package, or ``conf/`` of the checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


@cache
def groups() -> tuple[str, ...]:
    """Return the sorted config groups; a group is a folder of options."""
    return tuple(sorted(path.name for path in config_folder().iterdir() if path.is_dir() and path.name != HYDRA))


@cache
def options(group: str) -> tuple[str, ...]:
    """Return the sorted options of a group; empty if the group does not exist."""
    return tuple(sorted(path.stem for path in (config_folder() / group).glob("*.yaml")))


@cache
def read_file(name: str) -> dict[str, Any]:
    """Return the raw content of a config file, including its defaults list and unresolved interpolations.

    Args:
        name: path below the config folder without the suffix, such as ``train`` or ``optim/adam``

    """
    text = (config_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) or {}


def default_options(name: str = "train") -> dict[str, str | None]:
    """Return group -> option chosen by a primary config, in the order of its defaults list.

    >>> default_options()["optim"], default_options("prepare")["experiment"]
    ('adam', None)
    """
    chosen: dict[str, str | None] = {}
    for entry in read_file(name).get("defaults", []):
        if isinstance(entry, dict):
            chosen |= {group: option for group, option in entry.items() if group in groups()}
        elif entry != "_self_":
            chosen |= default_options(entry)
    return chosen | chosen_by(chosen)


def chosen_by(chosen: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return group -> option that the chosen options override in their own defaults lists.

    >>> chosen_by({"corpus": "ravdess"})
    {'split': 'released'}
    """
    overridden: dict[str, str | None] = {}
    for group, option in chosen.items():
        if isinstance(option, str) and group != "experiment" and option in options(group):
            for entry in read_file(f"{group}/{option}").get("defaults", []):
                for key, value in entry.items() if isinstance(entry, dict) else ():
                    if key.startswith("override /"):
                        overridden[key.removeprefix("override /").partition("@")[0]] = value
    return overridden


def values_of(group: str, option: str) -> dict[str, Any]:
    """Return the values of an option, including those inherited from other options of the same group."""
    content = dict(read_file(f"{group}/{option}"))
    values: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_" and entry in options(group):
            values |= values_of(group, entry)
    return values | content


def primary_values(name: str) -> dict[str, Any]:
    """Return the values of a primary config, including inherited ones, without those of groups and of Hydra."""
    content = dict(read_file(name))
    values: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            values |= primary_values(entry)
    content.pop(HYDRA, None)
    return values | content


def primary_text(name: str) -> str:
    """Return the lines with values of a primary config and the configs it inherits from, with their comments."""
    texts = [primary_text(e) for e in read_file(name).get("defaults", []) if isinstance(e, str) and e != "_self_"]
    lines, keep = [], False
    for line in (config_folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line[:1].isalpha():
            keep = line.partition(":")[0] not in ("defaults", HYDRA)
        elif line.startswith("#"):
            keep = False
        if keep and line.strip():
            lines.append(line)
    return "\n".join([text for text in texts if text] + lines)


def keys(name: str, chosen: dict[str, str] | None = None) -> dict[str, Any]:
    """Return every dotted key of a primary config with its default value.

    Args:
        name: name of the primary config
        chosen: group -> option that replaces the default option

    """
    values = dict(flat(primary_values(name)))
    chosen = chosen or {}
    for group, option in (default_options(name) | chosen_by(chosen) | chosen).items():
        for choice in option if isinstance(option, list) else [option]:
            if choice is not None and group != "experiment" and choice in options(group):
                values |= dict(flat(values_of(group, choice), f"{group}."))
    return values


def values_by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a section by their dotted keys; an empty section has none."""
    return {key: value for key, value in flat(values) if value != {}}


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the dotted key and the value of every leaf of a section; an empty section is a leaf.

    >>> flat({"model": {"units": 128, "dropout": {}}, "seed": 1})
    [('model.units', 128), ('model.dropout', {}), ('seed', 1)]
    """
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        nested = isinstance(value, dict) and value
        rows += flat(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)]
    return rows
