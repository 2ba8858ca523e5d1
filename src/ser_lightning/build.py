"""Build objects from configs; the only module that calls Hydra's ``instantiate``."""

import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException

from ser_lightning.config_files import config_folder
from ser_lightning.errors import InputError, suggestion
from ser_lightning.kernels.backend import NATIVE, native_is_available, resolve_backend
from ser_lightning.own_code import check_trust

__all__ = ["build", "build_corpus", "check_values", "config_folder", "is_baseline"]

OURS = "ser_lightning."
BORROWED = {  # parts whose classes come from torch or Lightning
    "optim": "torch.optim.",
    "scheduler": "torch.optim.lr_scheduler.",
    "trainer": "pytorch_lightning.",
    "callbacks": "pytorch_lightning.",
    "logger": "pytorch_lightning.",
}
PACKAGES = {
    "corpus": "corpora",
    "split": "splits",
    "model": "models",
    "loss": "losses",
}  # part -> package
BASELINES = f"{OURS}baselines."  # classical models, fitted without a Trainer
REFERENCES = {"features": "librosa", "augment": "torchaudio"}  # parts with C kernels -> their reference backend
# Torch and Lightning accept other values silently, although a negative clip value reverses the gradient.
POSITIVE = ("optim.lr", "trainer.gradient_clip_val")


def is_baseline(model: Mapping[str, Any]) -> bool:
    """Return whether a config's ``model`` is a scikit-learn pipeline and not a network.

    >>> is_baseline({"_target_": "ser_lightning.baselines.svm.SVM"})
    True
    """
    return str(model.get("_target_", "")).startswith(BASELINES)


def build(name: str, config: Mapping[str, Any], *, trust: Sequence[str] = (), **arguments: object) -> Any:
    """Build the object that a part of the config describes.

    Args:
        name: name of the part, for messages
        config: its values and ``_target_``. Only classes of this package are allowed, of torch or Lightning for the
            parts that use them, and of trusted packages, because a config may come from an untrusted checkpoint.
        trust: packages of the user, which may be named for every part
        arguments: arguments that are not in the config

    Raises:
        InputError: the target is not allowed; a value is missing, unknown, of the wrong type, or rejected by the class

    """
    cls = _allowed_class(name, str(config.get("_target_", "")), trust=trust)
    if cls.__module__.startswith((OURS, *(f"{package}." for package in trust))) or cls.__module__ in trust:
        check_values(name, cls, config, arguments)
    else:
        _check_types(name, cls, config)
    for key, value in config.items():
        if f"{name}.{key}" in POSITIVE and isinstance(value, int | float) and not 0 < value < math.inf:
            raise InputError(f"{name}.{key} is {value!r}; expected a finite number above 0")
    try:
        return hydra.utils.instantiate(config, **arguments, _convert_="all", _recursive_=False)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, ModuleNotFoundError):
            extra = name.rpartition(".")[2]
            raise InputError(
                f"{name} needs a library that is not installed ({' '.join(str(cause).split())}); pip install"
                f" 'ser-lightning[{extra}]'"
            ) from cause
        # MisconfigurationException is compared by name, so as not to import Lightning; torch's RuntimeError may be
        # an out-of-memory error.
        if isinstance(cause, ValueError | TypeError | RuntimeError | MemoryError) or (
            type(cause).__name__ == "MisconfigurationException"
        ):
            raise InputError(f"{name}: {cause}") from cause
        raise


def resolve_backends(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with ``backend: auto`` replaced by the backend in use, so that digest and result record it.

    >>> resolve_backends({"features": {"backend": "librosa"}, "seed": 1})
    {'features': {'backend': 'librosa'}, 'seed': 1}
    """
    return _with_backends(
        config, lambda key, backend, reference: resolve_backend(backend, reference=reference, key=key)
    )


def usable_backends(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's config with native kernels replaced by their references if they are unavailable here."""
    return _with_backends(
        config,
        lambda _, backend, reference: reference if backend == NATIVE and not native_is_available() else backend,
    )


def _with_backends(config: Mapping[str, Any], choose: Callable[[str, str, str], str]) -> dict[str, Any]:
    """Replace the backend of each part that has one by ``choose(key, value, reference)``."""
    values = dict(config)
    for part, reference in REFERENCES.items():
        section = values.get(part)
        if isinstance(section, Mapping) and isinstance(section.get("backend"), str):
            values[part] = {**section, "backend": choose(f"{part}.backend", section["backend"], reference)}
    return values


def build_corpus(config: Mapping[str, Any], *, trust: Sequence[str] = ()) -> Any:
    """Build the corpus that a config describes; the parts of a pooled corpus are built first.

    Args:
        config: its values and ``_target_``, and optionally ``parts``, which maps names to corpus configs
        trust: packages of the user, which may be named

    Raises:
        InputError: an error of :func:`build`, or a part that is not a single corpus

    """
    if "parts" not in config:
        return build("corpus", config, trust=trust)
    parts = config["parts"]
    for name, part in parts.items() if isinstance(parts, Mapping) else [("", parts)]:
        if not isinstance(part, Mapping) or "parts" in part:
            raise InputError(f"corpus.parts.{name} is {part!r}; expected the values of a single corpus")
    built = {name: build(f"corpus.parts.{name}", part, trust=trust) for name, part in parts.items()}
    pool = {key: value for key, value in config.items() if key != "parts"}
    # Not passed through instantiate, which would take a corpus that is a dataclass for a config.
    make = build("corpus", pool | {"_partial_": True}, trust=trust)
    try:
        return make(parts=built)
    except TypeError as error:  # a missing value
        raise InputError(f"corpus: {error}") from error


def corpora_of(config: Mapping[str, Any]) -> set[str]:
    """Return the names of a corpus, or of its parts; the synthetic corpora, which have no name, share one."""
    parts: Iterable[Mapping[str, Any]] = config["parts"].values() if "parts" in config else [config]
    return {str(part.get("name") or part["_target_"]).rpartition(".")[2] for part in parts}


def check_target(name: str, config: Mapping[str, Any], *, trust: Sequence[str] = ()) -> None:
    """Check the class that a config names, for a part that is built later.

    Raises:
        InputError: the class is not allowed for this part, or does not exist

    """
    _allowed_class(name, str(config.get("_target_", "")), trust=trust)


def _allowed_class(name: str, target: str, *, trust: Sequence[str]) -> type:
    """Return the class that a config names, if it is allowed for this part.

    Raises:
        InputError: the class is not allowed, or does not exist

    """
    part = name.split(".", maxsplit=1)[0]
    homes = (BORROWED[part], OURS) if part in BORROWED else (f"{OURS}{PACKAGES.get(part, part)}.",)
    if part == "model":
        homes = (*homes, BASELINES)
    homes = (*homes, *(f"{package}." for package in check_trust(trust)))
    only = (
        f"only classes of {' and '.join(f'{home}*' for home in homes)} are built for it from a config, and those of"
        " your own package if trust=[<package>] names it (--trust <package> with a checkpoint)"
    )
    if not target.startswith(homes):
        raise InputError(f"{name}._target_ is {target!r}; {only}")
    path, _, last = target.rpartition(".")
    try:
        module = importlib.import_module(path)
    except Exception as error:  # a package of the user may raise anything
        raise InputError(
            f"{name}._target_ is {target!r}, which cannot be imported: {type(error).__name__}: {error}"
        ) from error
    try:
        part_class = getattr(module, last)
    except AttributeError as error:
        raise InputError(
            f"{name}._target_ is {target!r}, which cannot be imported: {path} has no"
            f" {last}{suggestion(last, dir(module))}"
        ) from error
    # The module's namespace also contains its imports, which are not allowed.
    if not isinstance(part_class, type) or not f"{part_class.__module__}.".startswith(homes):
        raise InputError(f"{name}._target_ is {target!r}, which is no class of {homes[0]}*; {only}")
    return part_class


def check_values(name: str, cls: type, config: Mapping[str, Any], arguments: Mapping[str, object]) -> None:
    """Check the values of a config against the signature of a class.

    Args:
        name: name of the part, for messages
        cls: the class to build
        config: values by name; names that start with ``_`` are ignored
        arguments: arguments of the class that are not in the config

    Raises:
        InputError: a value is missing, unknown or of the wrong type

    """
    parameters = inspect.signature(cls).parameters
    given = [key for key in config if not key.startswith("_")]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in given:
        if key not in parameters and not takes_any:
            known = f"it takes {', '.join(parameters)}{suggestion(key, parameters)}"
            raise InputError(f"{name}.{key} is unknown to {cls.__name__}; {known}")
    for key, parameter in parameters.items():
        if config.get("_partial_"):
            break  # a partial receives its remaining arguments later
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty and key not in given and key not in arguments:
            raise InputError(f"{name}.{key} is missing; {cls.__name__} needs it")
    _check_types(name, cls, config)


def _check_types(name: str, cls: type, config: Mapping[str, Any]) -> None:
    try:
        hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    except NameError:  # a third-party class has annotations that are imported only for type checking
        return
    for key, value in config.items():
        if key in hints and not _fits(value, hints[key]):
            raise InputError(f"{name}.{key} is {value!r}; expected {_describe(hints[key])}")


def _describe(hint: Any) -> str:
    """Describe a type annotation in a message."""
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _fits(value: object, hint: Any) -> bool:  # noqa: PLR0911 - one return per kind of annotation
    """Return whether a plain value fits a type annotation; annotations of other kinds accept any value."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is Sequence:
        (item,) = typing.get_args(hint)
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_fits(v, item) for v in value)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
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
