"""Config to objects: the only place that calls Hydra's instantiate."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException

from ser_lightning.errors import InputError

OURS = "ser_lightning."
BORROWED = {  # parts whose classes are torch's or Lightning's
    "optim": "torch.optim.",
    "trainer": "pytorch_lightning.",
    "callbacks": "pytorch_lightning.",
    "logger": "pytorch_lightning.",
}


def config_folder() -> Path:
    """Return the folder of the YAML files: inside the installed package, or ``conf/`` of the checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def build(name: str, config: Mapping[str, Any], **arguments: object) -> Any:
    """Construct what a part of the config describes.

    Args:
        name: of the part, for messages
        config: its values and ``_target_``, a class of this project (of torch or Lightning for the parts they
            lend) and nothing else: configs travel in checkpoints, and a checkpoint may be a stranger's
        arguments: what the config cannot know

    Raises:
        InputError: a target that is not allowed; a missing, unknown or ill-typed value; a value the class refuses

    """
    target = str(config.get("_target_", ""))
    home = BORROWED.get(name.split(".", maxsplit=1)[0], OURS)
    if not target.startswith((home, OURS)):
        raise InputError(f"{name}._target_ is {target!r}; only classes of {home}* are built from a config")
    try:
        cls = hydra.utils.get_object(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{name}._target_ is {target!r}, which cannot be imported: {error}") from error
    # By its name a path may lead through a module to anything that module imports.
    if not isinstance(cls, type) or not f"{cls.__module__}.".startswith((home, OURS)):
        raise InputError(f"{name}._target_ is {target!r}, which is no class of {home}*")
    if target.startswith(OURS):
        check_values(name, cls, config, arguments)
    try:
        return hydra.utils.instantiate(config, **arguments, _convert_="all", _recursive_=False)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError):
            raise InputError(f"{name}: {cause}") from cause
        raise


def check_values(name: str, cls: type, config: Mapping[str, Any], arguments: Mapping[str, object]) -> None:
    """Hold the values of a config against the signature that takes them.

    Args:
        name: of the part, for messages
        cls: the class that takes them
        config: the values by name; names that start with ``_`` are passed over
        arguments: what else the class is given

    Raises:
        InputError: a missing, unknown or ill-typed value

    """
    parameters = inspect.signature(cls).parameters
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    given = {key: value for key, value in config.items() if not key.startswith("_")}
    for key in given:
        if key not in parameters:
            raise InputError(f"{name}.{key} is unknown to {cls.__name__}; it takes {', '.join(parameters)}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in given and key not in arguments:
            raise InputError(f"{name}.{key} is missing; {cls.__name__} needs it")
        if key in given and not _fits(given[key], hints[key]):
            expected = getattr(hints[key], "__name__", None) if isinstance(hints[key], type) else str(hints[key])
            raise InputError(f"{name}.{key} is {given[key]!r}; expected {expected}")


def _fits(value: object, hint: Any) -> bool:  # noqa: PLR0911 - a case each
    """Tell whether a plain value fits an annotation of plain types; other annotations take anything."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is Sequence:
        (item,) = typing.get_args(hint)
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_fits(v, item) for v in value)
    if hint is type(None):
        return value is None
    if hint is bool or isinstance(value, bool):
        return isinstance(value, bool) and hint in (bool, object, Any)
    if hint is float:
        return isinstance(value, int | float)
    if hint in (int, str):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str)
    return True
