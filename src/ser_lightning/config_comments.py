"""Read the comments of the YAML files of the configuration, which explain each key."""

from functools import cache
from typing import NamedTuple

import yaml

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
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    return "#" + rest.partition("#")[2]


def _joined(comments: list[str]) -> str:
    return " ".join(text for line in comments if (text := line.strip().lstrip("#").strip()))
