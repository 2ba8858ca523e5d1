"""The config of a checkpoint as the base of a command line."""

import sys
from pathlib import Path

from hydra.core.config_store import ConfigStore

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.runs import complete


def argument(key: str) -> str | None:
    """Return the last ``key=value`` of the command line, without quotes."""
    values = [word.partition("=")[2] for word in sys.argv[1:] if word.partition("=")[0] == key]
    return values[-1].strip("'\"") if values else None


def offer_config(path: str | Path, *, without: tuple[str, ...] = ()) -> None:
    """Let the command's config start from the one in a checkpoint.

    Hydra composes before any code of a command runs, so the config must be known by then.

    Args:
        path: the checkpoint
        without: keys that mean something else to this command

    Raises:
        InputError: the checkpoint cannot be read

    """
    config = {key: value for key, value in complete(read_checkpoint(path).config).items() if key not in without}
    if "download" in config.get("corpus", {}):
        config["corpus"] = config["corpus"] | {"download": False}  # asked for then, not now
    ConfigStore.instance().store(group="stored", name="checkpoint", node=config, package="_global_")
