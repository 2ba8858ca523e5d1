"""Apply ``--set key=value`` to the config of a checkpoint, or to one composed from the files in ``conf/``."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser_lightning.cli.overrides import is_text
from ser_lightning.config_files import config_folder, groups, options
from ser_lightning.errors import InputError, printable, suggestion
from ser_lightning.output import expand_user

NAMES = ("name", "run_id", "manifest")  # last words of the keys whose text is no path


def change_config(
    base: Mapping[str, Any],
    settings: Sequence[str],
    *,
    choices: Collection[str],
    refused: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a config with settings applied and all interpolations resolved.

    Args:
        base: config of plain values; that of a checkpoint must be validated first, because interpolations are resolved
        settings: ``key=value`` each; the value of a group is an option, which replaces all values of the group
        choices: groups whose option may be chosen
        refused: key -> why it, and all keys below it, cannot be changed here

    Raises:
        InputError: a key or option is unknown, or a value is invalid

    """
    config = OmegaConf.create(dict(base))
    pairs = [_split(setting, refused or {}) for setting in settings]
    for key, text in pairs:
        if _is_choice(key, text, choices):
            config[key] = compose_option(key, text)
    _set_values(config, [pair for pair in pairs if not _is_choice(*pair, choices)], choices=choices)
    return _resolve(config)


def compose_config(
    fixed: Mapping[str, str],
    settings: Sequence[str],
    *,
    choices: Collection[str],
    keys: Collection[str] | None = None,
    config_dir: str | None = None,
) -> dict[str, Any]:
    """Compose the config of a run from ``conf/train.yaml`` and apply settings, with all interpolations resolved.

    Args:
        fixed: group or key -> option or value that overrides the default
        settings: ``key=value`` each
        choices: groups whose option may be chosen
        keys: parts of the config to return; ``None`` for all of them
        config_dir: folder with more options of the groups

    Raises:
        InputError: a key or option is unknown, or a value is invalid

    """
    pairs = [_split(setting, {}) for setting in settings]
    chosen = {
        key: _check_option(key, text, config_dir=config_dir) for key, text in pairs if _is_choice(key, text, choices)
    }
    words = [f"{key}={value}" for key, value in {**fixed, **chosen}.items()]
    if config_dir is not None:
        words.append(f"hydra.searchpath=['file://{Path(config_dir).absolute()}']")
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", overrides=words)
    OmegaConf.set_struct(config, False)
    parts = config.keys() if keys is None else keys
    known = OmegaConf.create({key: config._get_node(key) for key in parts})
    _set_values(config, [pair for pair in pairs if not _is_choice(*pair, choices)], choices=choices, known=known)
    if keys is None:
        return _resolve(config)
    return {key: _resolve(config[key]) for key in keys}


def compose_option(group: str, option: str) -> DictConfig:
    """Return the values of a group's option, with unresolved interpolations.

    Raises:
        InputError: the option does not exist

    """
    _check_option(group, option)
    return _compose_group(group, [f"{group}={option}"])


def _compose_group(group: str, words: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        values: DictConfig = compose("train", overrides=list(words)).get(group) or OmegaConf.create({})
    OmegaConf.set_struct(values, False)
    return values


def compose_corpus(names: Sequence[str]) -> DictConfig:
    """Return the config of one corpus, or of several pooled corpora, with unresolved interpolations.

    Args:
        names: options of the group ``corpus``; each may list several, separated by commas

    Raises:
        InputError: a corpus is unknown or given twice

    """
    split = [name.strip() for word in names for name in word.strip("[]").split(",")]
    for name in split:
        _check_option("corpus", name, without=("pooled",), prefix="--corpus ")
        if split.count(name) > 1:
            raise InputError(f"--corpus {','.join(split)} names {name} twice; expected different corpora")
    if len(split) == 1:
        return compose_option("corpus", split[0])
    return _compose_group("corpus", ["corpus=pooled", f"corpus/parts=[{','.join(split)}]"])


def parse_value(key: str, text: str) -> Any:
    """Parse the value of a setting like Hydra; text that Hydra cannot parse stays text.

    Raises:
        InputError: the setting lists several values, as in a sweep

    >>> parse_value("optim.lr", "1e-3"), parse_value("corpus.merge", "{calm: neutral}"), parse_value("x", "a (1)")
    (0.001, {'calm': 'neutral'}, 'a (1)')
    >>> parse_value("corpus.root", "2023_01_05"), parse_value("corpus.root", "null")
    ('2023_01_05', None)
    """
    if is_text(key, None if text.lower() == "null" else text):
        return text if key.rpartition(".")[2] in NAMES else expand_user(text)
    try:
        override = OverridesParser.create().parse_override(f"x={text}")
    except HydraException:
        return text
    if override.is_sweep_override():
        raise InputError(f"--set {printable(key)}={printable(text)} gives several values; expected one, or a [list]")
    return override.value()


def _split(setting: str, refused: Mapping[str, str]) -> tuple[str, str]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {printable(setting)}: expected key=value, such as audio.vad_mode=3")
    key = key.strip()
    bare = key.lstrip("+~")
    for name, reason in refused.items():
        if bare == name or bare.startswith(f"{name}."):
            raise InputError(f"--set {printable(setting)}: {reason}")
    return key, text


def _is_choice(key: str, text: str, choices: Collection[str]) -> bool:
    return key in choices and not text.startswith("{")


def _check_option(
    group: str, option: str, *, without: Sequence[str] = (), prefix: str = "", config_dir: str | None = None
) -> str:
    added = [] if config_dir is None else [path.stem for path in sorted(Path(config_dir, group).glob("*.yaml"))]
    known = [name for name in (*options(group), *added) if name not in without]
    if option not in known:
        name = f"{prefix}{printable(option)}" if prefix else f"{group}={printable(option)}"
        raise InputError(f"{name}: no such option; expected one of {', '.join(known)}{suggestion(option, known)}")
    return option


def _set_values(
    config: DictConfig, pairs: Sequence[tuple[str, str]], *, choices: Collection[str], known: DictConfig | None = None
) -> None:
    for key, text in pairs:
        names = _names(config if known is None else known)
        if key not in names:
            words = [*names, *(group for group in choices if group not in names)]
            hint = (
                suggestion(key.lstrip("+~"), words)
                or f"; expected one of {', '.join(n for n in words if '.' not in n)}"
            )
            raise InputError(f"--set {printable(key)}={printable(text)}: unknown key {printable(key)!r}{hint}")
        value = parse_value(key, text)
        if "." not in key and isinstance(config._get_node(key), DictConfig) and not isinstance(value, dict):
            below = [name for name in names if name.startswith(f"{key}.")]
            hint = f"give {below[0]}=<value>" if below else f"expected {key}={{<key>: <value>}}"
            raise InputError(f"--set {printable(key)}={printable(text)}: {key} is a section of the config; {hint}")
        try:
            OmegaConf.update(config, key, value, merge=True)
        except (OmegaConfBaseException, ValueError, TypeError) as error:
            raise InputError(f"--set {printable(key)}={printable(text)}: {' '.join(str(error).split())}") from error


def _names(config: DictConfig) -> dict[str, None]:
    """Return all dotted keys in order, including those of sections."""
    names: dict[str, None] = {}

    def collect(node: DictConfig, prefix: str) -> None:
        for key in map(str, node):
            names[f"{prefix}{key}"] = None
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
                collect(child, f"{prefix}{key}.")

    collect(config, "")
    return names


def _resolve(config: DictConfig) -> dict[str, Any]:
    try:
        resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise InputError(f"the configuration cannot be resolved: {' '.join(str(error).split())}") from error
    return resolved


def require_int(name: str, value: object, *, least: int) -> int:
    """Return ``value`` if it is an int of at least ``least``.

    Raises:
        InputError: the value is not an int or is less than ``least``

    """
    if type(value) is not int or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least {least}")
    return value


def stored_groups(*without: str) -> tuple[str, ...]:
    """Return the groups whose options can replace parts of a checkpoint's config."""
    return tuple(group for group in groups() if group not in ("experiment", *without))
