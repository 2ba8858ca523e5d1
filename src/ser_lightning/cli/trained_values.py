"""Refuse changes of values that a model was trained with."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ser_lightning.config_files import flat
from ser_lightning.errors import InputError

PARTS = ("features", "model")  # all their values are trained values
KEYS = ("audio.sampling_rate", "audio.resampler")  # the other values of audio choose the part of a recording
FREE = ("backend", "download", "path", "source")  # where and how features are computed does not change their values


def check_trained_values(before: Mapping[str, Any], now: Mapping[str, Any], *, force: bool) -> tuple[str, ...]:
    """Return the trained values that differ from the checkpoint's, as warnings.

    Args:
        before: config of the checkpoint
        now: the config with settings applied
        force: whether changes are allowed

    Raises:
        InputError: a trained value is changed without ``force``

    """
    old, new = dict(_trained(before)), dict(_trained(now))
    changes = tuple(
        f"{key} is {json.dumps(new.get(key))}, trained with {json.dumps(old.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )
    if changes and not force:
        raise InputError(
            f"{'; '.join(changes)}: the model does not fit other input. Leave out the change, or give --force to"
            " measure its effect."
        )
    return changes


def _trained(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of a config that a model was trained with."""
    for key, value in flat({part: config.get(part) for part in (*PARTS, "audio")}):
        if (key.split(".")[0] in PARTS or key in KEYS) and key.rpartition(".")[2] not in FREE:
            yield key, value
