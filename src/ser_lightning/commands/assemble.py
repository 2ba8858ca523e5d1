"""The data of a config, from raw files to batches."""

from collections.abc import Mapping
from typing import Any

from ser_lightning.build import build, check_values
from ser_lightning.data.datamodule import Progress, SpeechDataModule


def assemble_data(config: Mapping[str, Any], *, progress: Progress) -> SpeechDataModule:
    """Build the data module and its parts.

    Raises:
        InputError: a value that a part refuses

    """
    parts = {name: build(name, config[name]) for name in ("corpus", "split", "audio", "augment", "features")}
    if config["corpus"].get("download"):
        parts["corpus"].fetch()
    rest = {**parts, "seed": config["seed"], "progress": progress}
    check_values("data", SpeechDataModule, config["data"], rest)
    return SpeechDataModule(**config["data"], **rest)
