"""Reference pages of the configuration: every group and option, and every key with its meaning."""

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from ser_lightning import config_files
from ser_lightning.config_comments import option_comments, read_comments

OURS = "ser_lightning."
HIDDEN = ("_target_", "_partial_")  # Hydra's own keys
LAUNCHER = "hydra/launcher"


def config_pages() -> tuple[dict[str, str], list[str]]:
    """Return the pages of the config groups by name, and the keys that nothing explains."""
    pages, unexplained = {}, []
    for group in (*config_files.groups(), LAUNCHER):
        lines, missing = _group_page(group)
        pages[group.replace("/", "_")] = "\n".join(lines) + "\n"
        unexplained += missing
    return pages, unexplained


def primary_table(name: str) -> tuple[list[str], list[str]]:
    """Return a table of the values of a primary config, with those that it inherits, and the unexplained keys."""
    comments: dict[str, str] = {}
    for part in ("train", name):
        comments |= {key: text for key, text in read_comments(part).keys.items() if key.split(".")[0] != "hydra"}
    rows = [(key, value, comments[key]) for key, value in config_files.flat(config_files.primary_values(name))]
    return _table(rows), [f"conf/{name}.yaml: {key}" for key, _, meaning in rows if not meaning]


def _group_page(group: str) -> tuple[list[str], list[str]]:
    default: Any = config_files.default_options().get(group)  # a list for callbacks and loggers
    lines = [f"# `{group}`", "", f"Choose an option with `{group}=<option>`."]
    if default:
        names = default if isinstance(default, list) else [default]
        lines += ["", f"Default: {', '.join(f'`{name}`' for name in names)}."]
    missing: list[str] = []
    for option in config_files.options(group):
        comments = read_comments(f"{group}/{option}")
        lines += ["", f"## `{option}`", "", linked(comments.description)]
        missing += [] if comments.description else [f"conf/{group}/{option}.yaml: no comment at the top"]
        if group == "experiment":
            text = (config_files.config_folder() / group / f"{option}.yaml").read_text(encoding="utf-8")
            lines += ["", "```yaml", text.rstrip(), "```"]
            continue
        rows = _option_rows(group, option)
        missing += [f"conf/{group}/{option}.yaml: {key}" for key, _, meaning in rows if not meaning]
        if rows:
            lines += ["", *_table(rows)]
    return lines, missing


def _option_rows(group: str, option: str) -> list[tuple[str, Any, str]]:
    """Return key, value and meaning of every value of an option."""
    values = {key: value for key, value in config_files.values_of(group, option).items() if not key.startswith("/")}
    comments = option_comments(group, option)
    rows = []
    for key, value in config_files.flat(values):
        section, _, last = key.rpartition(".")
        if last not in HIDDEN:
            meaning = comments.get(key) or _argument(_target(values, section), last)
            rows.append((key, value, meaning or comments.get(section, "")))
    return rows


def _target(values: Mapping[str, Any], section: str) -> str:
    part: Any = values
    for name in filter(None, section.split(".")):
        part = part[name]
    return str(part.get("_target_", ""))


def _argument(target: str, name: str) -> str:
    """Return the meaning of an argument: from the docstrings of a class and its bases, or a reference to a library."""
    if not target:
        return ""
    if not target.startswith(OURS):
        return f"argument of `{target}`"
    module, _, class_name = target.rpartition(".")
    return class_arguments(getattr(importlib.import_module(module), class_name)).get(name, "")


def class_arguments(cls: type) -> dict[str, str]:
    """Return the entries of the sections ``Args`` of a class and its bases; those of the class come first."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        found = arguments(base.__doc__ or "") | found
    return found


def arguments(docstring: str) -> dict[str, str]:
    r"""Return the entries of the section ``Args`` of a docstring.

    >>> arguments("Scale.\n\n    Args:\n        factor: the factor,\n            above 0\n        by: unit\n")
    {'factor': 'the factor, above 0', 'by': 'unit'}
    """
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(docstring), re.MULTILINE | re.DOTALL)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _table(rows: list[tuple[str, Any, str]]) -> list[str]:
    lines = ["| key | value | meaning |", "|---|---|---|"]
    for key, value, meaning in rows:
        lines.append(f"| `{key}` | `{_yaml(value)}` | {_cell(meaning)} |")
    return lines


def _yaml(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    return text.replace("|", "\\|") or '""'


def _cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table; ``` ``x`` ``` of a docstring becomes ```x```."""
    plain = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    return linked(plain.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*"))


def linked(text: str) -> str:
    """Link the pages that a comment names.

    >>> linked("see docs/refit.md")
    'see [refit.md](refit.md)'
    """
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text)
