"""What all commands share: Hydra's command line, with errors in one line."""

import errno
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ser_lightning.build import config_folder
from ser_lightning.commands.corpora import offer_pools
from ser_lightning.errors import InputError, nearest, shown
from ser_lightning.interrupts import InterruptedRunError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL = "HYDRA_FULL_ERROR"


def run(
    command: str,
    config_name: str,
    function: Callable[[DictConfig], Any],
) -> None:
    """Compose the config from the command line, call ``function`` and end the process.

    Bad input ends it with 1 and one line that names the thing and the remedy; with ``HYDRA_FULL_ERROR=1`` there is a
    traceback too.

    Args:
        command: name of the command, for messages
        config_name: the primary config in ``conf/``
        function: takes the config; the whole number that it returns, if it does, is the exit code, and any other
            number what a sweeper searches by

    """
    full = os.environ.get(FULL) == "1"
    codes: list[int] = []
    entered: list[bool] = []
    refused: list[Exception] = []

    def task(config: DictConfig) -> Any:
        entered.append(True)
        try:
            value = function(config)
            codes.append(value if isinstance(value, int) else 0)
            return value
        except (InputError, OmegaConfBaseException, OSError) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN or full:
                raise  # says which job of the sweep it was
            refused.append(error)  # told below: Hydra would put a line of its own before it
            return None

    main = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)
    if full:
        _begin(config_name)
        main()
        sys.exit(max(codes, default=0))
    os.environ[FULL] = "1"  # makes Hydra raise instead of printing and exiting
    try:
        _begin(config_name)
        main()
        if refused:
            raise refused[0]
    except (InputError, HydraException, OmegaConfBaseException) as error:
        sys.stdout.flush()
        print(f"{command}: {explain(error, config_name)}", file=sys.stderr)
        sys.exit(1)
    except ValueError as error:
        if entered:
            raise
        print(f"{command}: {explain(error, config_name)}", file=sys.stderr)  # Hydra's, of an override
        sys.exit(1)
    except OSError as error:
        print(f"{command}: {_reason(error)}", file=sys.stderr)
        sys.exit(1)
    except InterruptedRunError as error:
        print(f"{command}: {error.message}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        os.environ.pop(FULL, None)
    sys.exit(max(codes, default=0))


def _begin(config_name: str) -> None:
    sys.argv[1:] = offer_pools(sys.argv[1:], config_name=config_name)


def _reason(error: OSError) -> str:
    """Return what the system refused, in a line; raise the error again if that is not known."""
    if error.filename is not None:
        return f"{shown(str(error.filename))}: {error.strerror}; check the path and its rights"
    if error.errno in NO_SPACE:  # a write knows the file by its number alone
        return f"cannot write: {error.strerror}; free some space and start again"
    raise error


def plain(config: DictConfig, *, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a config as plain types, with every interpolation resolved.

    Args:
        config: as Hydra composed it
        needs: keys without a default, in the order they are asked for

    Raises:
        InputError: one of these was not given

    """
    for key in needs:
        if key not in config and not OmegaConf.is_missing(config, key):
            raise InputError(f"{key} is missing: the checkpoint carries none")
        if OmegaConf.is_missing(config, key):
            raise InputError(f"{key} is missing; give {key}=<value>")
    values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return values


def explain(error: BaseException, config_name: str) -> str:
    """Return an error as one line, with the nearest valid name where a name was unknown."""
    if isinstance(error, InputError):
        return " ".join(str(error).split())
    chain, cause = [str(error)], error.__cause__ or error.__context__
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = "\n".join(chain)
    key = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    if key:
        return f"unknown key {key[1]!r} on the command line{_nearest(key[1], _keys(config_name))}"
    group = re.search(r"You must specify '([^']+)'|Could not override '([^'@]+)'.*No match", text)
    if group:
        return f"unknown group {group[1] or group[2]!r}{_nearest(group[1] or group[2], _keys(config_name))}"
    option = re.search(r"Could not find '([^']+)'\s*\n\s*Available options in '([^']+)':\n((?:\s+\S+\n?)*)", text)
    if option:
        options = option[3].split()
        name = option[1].split("/")[-1]
        return f"{option[2]}={name}: no such option; expected one of {', '.join(options)}{_nearest(name, options)}"
    return " ".join(str(error).split("\nSee https")[0].split())


def _keys(config_name: str) -> list[str]:
    """All keys and groups that a command takes, with the options that were chosen for its groups."""
    groups = [path.name for path in config_folder().iterdir() if path.is_dir() and path.name != "hydra"]
    chosen = [word for word in sys.argv[1:] if word.partition("=")[0] in groups and "," not in word]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        try:
            config = compose(config_name, overrides=chosen, return_hydra_config=False)
        except (HydraException, OmegaConfBaseException):  # an option that there is not
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
    return nearest(name, names) or "; --help lists the valid names"


def progress(description: str) -> Callable[[Any, int], Any]:
    """Return a wrapper that shows on stderr how many of the results have come."""

    def wrap(results: Any, total: int) -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield from bar.track(results, total=total, description=description)

    return wrap
