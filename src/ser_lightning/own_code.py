"""Packages of the user whose classes a config may name, listed in ``trust``."""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_lightning.errors import InputError

OURS = "ser_lightning"


def check_trust(names: object) -> tuple[str, ...]:
    """Return the names of trusted packages, which can be imported afterward, also from the current folder.

    The current folder is appended to ``sys.path``: it shadows no installed package.

    Args:
        names: list of top-level packages or modules

    Raises:
        InputError: it is not a list of names, or there is no such package

    """
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(n, str) for n in names):
        raise InputError(f"trust is {names!r}; expected a list of packages, such as trust=[mypackage]")
    if names and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for name in names:
        if not name.isidentifier() or importlib.util.find_spec(name) is None:
            raise InputError(
                f"trust names {name!r}, which is no package; expected the name of an installed package, or of one in"
                f" the current folder {Path.cwd()}"
            )
    return tuple(names)


def source_digests(objects: Sequence[object]) -> dict[str, str]:
    """Return package -> digest of its source files, for the classes of the user's packages among some objects."""
    packages = {type(each).__module__.partition(".")[0] for each in objects}
    outside = sorted(name for name in packages if name not in (OURS, *sys.stdlib_module_names))
    return {name: _digest(Path(file)) for name in outside if (file := getattr(sys.modules.get(name), "__file__", None))}


def package_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """Return package -> digest of its source files, for the packages that a config trusts."""
    specs = {name: importlib.util.find_spec(name) for name in check_trust(config.get("trust", ()))}
    return {name: _digest(Path(spec.origin)) for name, spec in specs.items() if spec is not None and spec.origin}


def _digest(file: Path) -> str:
    """Return the digest of a module's file or, for ``__init__.py``, of all Python files of its package."""
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    content = hashlib.sha256()
    for path in files:
        content.update(f"{path.relative_to(file.parent).as_posix()}\n".encode() + path.read_bytes())
    return content.hexdigest()[:16]
