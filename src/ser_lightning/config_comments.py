"""Read the comments of the YAML files of the configuration, which explain each key."""

from functools import cache
from typing import NamedTuple

import yaml

from ser_lightning import config_files
from ser_lightning.config_files import config_folder


class Comments(NamedTuple):
    """Comments of a config file.

    Args:
        description: comment at the top of the file, in one line
        keys: dotted key -> its comment, empty if it has none; in the order of the file

    """

    description: str
    keys: dict[str, str]


@cache
def read_comments(name: str) -> Comments:
    """Return the comments of a config file.

    A comment stands behind the value, or in the lines above the key.

    Args:
        name: path below the config folder without the suffix, such as ``train`` or ``optim/adam``

    >>> read_comments("train").keys["checkpoint"]
    'checkpoint reported as the result, best or last; both are evaluated'

    """
    text = (config_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    top = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = [line for line in lines[:top] if not line.startswith("# @package")]
    keys: dict[str, str] = {}
    root = yaml.compose(text)
    if isinstance(root, yaml.MappingNode):
        _collect(root, "", lines, top, keys)
    return Comments(_joined(head), keys)


def option_comments(group: str, option: str) -> dict[str, str]:
    """Return key -> comment of an option, also of the options that it inherits from; keys without one are left out.

    >>> option_comments("corpus", "synthetic_small")["merge"]
    'labels to replace by another label, such as {calm: neutral}'
    """
    comments: dict[str, str] = {}
    for entry in config_files.read_file(f"{group}/{option}").get("defaults", []):
        if isinstance(entry, str) and entry in config_files.options(group):
            comments |= option_comments(group, entry)
    return comments | {key: text for key, text in read_comments(f"{group}/{option}").keys.items() if text}


def key_comments(name: str) -> dict[str, str]:
    """Return dotted key -> comment of a primary config, with what it inherits and the default options of its groups."""
    comments: dict[str, str] = {}
    for entry in config_files.read_file(name).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            comments |= key_comments(entry)
    comments |= read_comments(name).keys
    for group, options in config_files.default_options(name).items():
        for option in options if isinstance(options, list) else [options]:
            if option and group != "experiment":
                comments |= {f"{group}.{key}": text for key, text in option_comments(group, option).items()}
    return comments


def _collect(node: yaml.MappingNode, prefix: str, lines: list[str], top: int, keys: dict[str, str]) -> None:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        keys[name] = _joined([*_above(key, lines, top), _behind(key if block else value, lines)])
        if block and isinstance(value, yaml.MappingNode):
            _collect(value, f"{name}.", lines, top, keys)


def _above(key: yaml.Node, lines: list[str], top: int) -> list[str]:
    """Return the lines of comment directly above a key, at its indentation and below the comment at the top."""
    indent, end = " " * key.start_mark.column, key.start_mark.line
    start = end
    while start > top and lines[start - 1].startswith(f"{indent}#"):
        start -= 1
    return lines[start:end]


def _behind(node: yaml.Node, lines: list[str]) -> str:
    mark = node.end_mark
    behind = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    return "#" + behind.partition("#")[2]


def _joined(comments: list[str]) -> str:
    return " ".join(text for line in comments if (text := line.strip().lstrip("#").strip()))
