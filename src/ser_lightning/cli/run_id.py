"""Compose the run id: the folder of a run below ``output_root/name``, derived from its configuration."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, OmegaConf

from ser_lightning.cli.overrides import parse_overrides, typed_overrides

LONGEST = 80  # maximum number of characters of a value in a folder name


def compose_run_id(*, _root_: DictConfig) -> str:
    """Return the run id: the swept corpus, other swept keys by name, dropout, fold and seed, joined by slashes.

    A key counts as swept if jobs of the sweep may differ in it, whichever sweeper chooses the values: every key of a
    job that is not given a single value on the command line.
    """
    job: Any = HydraConfig.get()
    fixed = OmegaConf.select(job, "callbacks.sweep.fixed")
    swept = (
        {}
        if fixed is None
        else {
            _name(o): o
            for o in parse_overrides(typed_overrides(job.overrides.task))
            if o.get_key_element() not in fixed
        }
    )
    for key in ("seed", "split.fold", "dropout", "run_id"):  # added below, or chosen by the user
        swept.pop(key, None)
    rate = swept.pop("dropout.p", None)
    corpus = [key for key in sorted(swept) if key.split(".")[0] == "corpus"]
    parts = [_part(key, swept[key]) for key in (*corpus, *sorted(swept.keys() - set(corpus)))]
    parts.append(f"dropout-{job.runtime.choices.get('dropout')}" if rate is None else _part("dropout.p", rate))
    fold = OmegaConf.select(_root_, "split.fold")
    if fold is not None:
        parts.append(f"fold-{fold}")
    return "/".join([*parts, f"seed-{_root_.seed}"])


def _name(override: Override) -> str:
    """Return the key of an override as part of a folder name; ``corpus/parts`` becomes ``corpus.parts``."""
    return re.sub(r"[^\w.-]", ".", override.get_key_element().lstrip("+~"))


def _part(key: str, override: Override) -> str:
    return f"{key}-{value_text(override.value())}"


def value_text(value: Any) -> str:
    """Return a value as text that is safe in a folder name and unique for the value.

    List items are joined by ``+``. If the text does not fully represent the value, a digest of the value is appended.

    >>> [value_text(value) for value in (0.003, "gain", [2, 5], True, None)]
    ['0.003', 'gain', '2+5', 'true', 'null']
    >>> value_text("/data/emo db"), value_text("/data/emo_db")
    ('_data_emo_db~a6667e4e', '_data_emo_db~7213cdf3')
    """
    value = _plain(value)
    items = value if isinstance(value, list) else [value]
    text = "+".join(item if isinstance(item, str) else json.dumps(item) for item in items)
    safe = re.sub(r"[^A-Za-z0-9._+-]", "_", text)[:LONGEST]
    faithful = safe == text and "" not in items and (not isinstance(value, list) or len(items) > 1)
    if faithful and all(_reads_back(item) for item in items):
        return safe
    return f"{safe}~{hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]}"


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value


def _reads_back(item: Any) -> bool:
    """Return whether the text of a single value parses back to exactly this value."""
    if isinstance(item, list | dict):
        return False
    text = item if isinstance(item, str) else json.dumps(item)
    parsed = parse_overrides([f"x={text}"])
    return "+" not in text and bool(parsed) and json.dumps(_plain(parsed[0].value())) == json.dumps(item)


# Registered on import, because a launcher's worker resolves the folder of a job before it calls the job.
OmegaConf.register_new_resolver("run_id", compose_run_id, replace=True)
