"""Shared code of the Hydra commands: run them, and report errors in one line."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import OverrideType
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser_lightning.build import config_folder
from ser_lightning.cli.overrides import parse_overrides, typed_overrides
from ser_lightning.errors import FULL_ERROR, InputError, describe_os_error, full_disk, printable, suggestion
from ser_lightning.interrupts import InterruptedRunError


def run(
    command: str,
    config_name: str,
    function: Callable[[DictConfig], Any],
) -> None:
    """Compose the config from the command line, call ``function`` and exit.

    On invalid input the process exits with code 1 and prints one line that names the problem and the remedy; with
    ``HYDRA_FULL_ERROR=1`` it also prints a traceback.

    Args:
        command: name of the command, for messages
        config_name: primary config in ``conf/``
        function: receives the config; an int that it returns becomes the exit code, and any other number is the
            objective value for a sweeper

    """
    full = os.environ.get(FULL_ERROR) == "1"
    codes: list[int] = []
    entered: list[bool] = []
    refused: list[Exception] = []

    def task(config: DictConfig) -> Any:
        entered.append(True)
        try:
            _check_corpus()
            _check_trust(config)
            value = function(config)
            codes.append(value if isinstance(value, int) else 0)
            return value
        except Exception as error:
            if not isinstance(error, InputError):
                error = full_disk(error) or error  # torch may raise another error while handling a full disk
            if not isinstance(error, InputError | OmegaConfBaseException | OSError):
                raise
            if HydraConfig.get().mode == RunMode.MULTIRUN or full:
                raise error  # in a sweep, Hydra adds which job failed
            refused.append(error)  # raised again below, because Hydra would print a line of its own first
            return None

    main = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)
    if full:
        main()
        sys.exit(max(codes, default=0))
    os.environ[FULL_ERROR] = "1"  # makes Hydra raise instead of printing and exiting
    try:
        main()
        if refused:
            raise refused[0]
    except MissingConfigException as error:  # also an OSError, so it must come before that
        _exit_with_error(command, error_line(error, config_name))
    except OSError as error:
        if (message := describe_os_error(error)) is None:
            raise
        _exit_with_error(command, message)
    except (InputError, HydraException, OmegaConfBaseException) as error:
        _exit_with_error(command, error_line(error, config_name))
    except ValueError as error:
        if entered:
            raise
        _exit_with_error(command, error_line(error, config_name))  # raised by Hydra for an invalid override
    except InterruptedRunError as error:
        _exit_with_error(command, error.message, code=error.code)
    except KeyboardInterrupt:
        _exit_with_error(command, "interrupted", code=130)
    finally:
        os.environ.pop(FULL_ERROR, None)
    sys.exit(max(codes, default=0))


def _exit_with_error(command: str, message: str, *, code: int = 1) -> NoReturn:
    sys.stdout.flush()
    print(f"{command}: {message}", file=sys.stderr)
    sys.exit(code)


def _check_corpus() -> None:
    """Check that ``corpus`` has one option; Hydra would silently merge a list of corpora into one.

    Raises:
        InputError: the group ``corpus`` is given a list of options

    """
    for override in parse_overrides(typed_overrides(HydraConfig.get().overrides.task)):
        options = override.value()
        if override.key_or_group == "corpus" and isinstance(options, list):
            names = ",".join(map(str, options))
            raise InputError(
                f"corpus=[{names}] chooses several options of a group that takes one; for several corpora as one choose"
                f" corpus=pooled 'corpus/parts=[{names}]'"
            )


def _check_trust(config: DictConfig) -> None:
    """Check that the packages in ``trust`` were given on the command line and not by a config file.

    Raises:
        InputError: a file sets ``trust``

    """
    given = {
        override.key_or_group.lstrip("+")
        for override in parse_overrides(typed_overrides(HydraConfig.get().overrides.task))
    }
    if config.trust and "trust" not in given:
        raise InputError(
            f"trust is {list(config.trust)} in a config file; packages are trusted only on the command line"
        )


def plain(config: DictConfig, *, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a config as plain Python types, with all interpolations resolved.

    Args:
        config: the config composed by Hydra
        needs: required keys without a default, in the order in which they are checked

    Raises:
        InputError: a required key is missing

    """
    for key in needs:
        if key not in config and not OmegaConf.is_missing(config, key):
            raise InputError(f"{key} is missing in the checkpoint; use a checkpoint of ser-train")
        if OmegaConf.is_missing(config, key):
            raise InputError(f"{key} is missing; give {key}=<value>")
    values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return values


def error_line(error: BaseException, config_name: str) -> str:
    """Return an error as one line, with the closest valid name if a name was unknown."""
    if isinstance(error, InputError):
        return " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        return (
            f"{printable(error.override)} cannot be read as key=value; quote a value that has special characters:"
            f""" "{key}='{printable(value)}'\""""
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        options = sorted(error.options or (path.stem for path in (config_folder() / group).glob("*.yaml")))
        return f"{group}={name}: no such option; expected one of {', '.join(options)}{_nearest(name, options)}"
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException):
        names = _keys(config_name)
        for override in parse_overrides(sys.argv[1:]):
            key = override.key_or_group
            if key == "corpus/parts" and "corpus.parts" not in names:
                return "corpus/parts is a group of the option pooled; choose corpus=pooled too"
            if override.type in (OverrideType.CHANGE, OverrideType.DEL) and not known_key(key, names):
                return f"unknown key {key!r} on the command line{_nearest(key, names)}"
    return " ".join(str(error).split("\nSee https")[0].split())


def known_key(key: str, names: Sequence[str]) -> bool:
    """Return whether a key is a config key, a config group, or one of Hydra's own keys."""
    return key in (*names, "corpus/parts") or key.split(".", maxsplit=1)[0].split("/", maxsplit=1)[0] == "hydra"


def _keys(config_name: str) -> list[str]:
    """Return all keys and groups of a command, given the options chosen on the command line for its groups."""
    groups = [path.name for path in config_folder().iterdir() if path.is_dir() and path.name != "hydra"]
    chosen = [word for word in sys.argv[1:] if word.partition("=")[0] in groups and "," not in word]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        try:
            config = compose(config_name, overrides=chosen, return_hydra_config=False)
        except (HydraException, OmegaConfBaseException):  # a chosen option does not exist
            config = compose(config_name, return_hydra_config=False)
    names: list[str] = []

    def collect(node: Any, prefix: str) -> None:
        for key in node:
            names.append(f"{prefix}{key}")
            if OmegaConf.is_dict(node) and not OmegaConf.is_missing(node, key):
                child = node._get_node(key)
                if isinstance(child, DictConfig) and not child._is_none():
                    collect(child, f"{prefix}{key}.")

    collect(config, "")
    return names + groups


def _nearest(name: str, names: list[str]) -> str:
    return suggestion(name, names) or "; --help lists the valid names"
