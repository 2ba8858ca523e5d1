"""Build the data pipeline of a config, from raw files to batches."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ser_lightning.build import build, build_corpus, check_values
from ser_lightning.data.preparation import Preparation, Progress
from ser_lightning.errors import InputError
from ser_lightning.splits.refit import Strategy, ValidationInTraining

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule
    from ser_lightning.evaluation import Evaluation

TEACHER = ("teacher", "teacher_sha256", "teacher_share", "teacher_temperature")  # keys of ``data``


def build_split(config: Mapping[str, Any]) -> Strategy:
    """Build the split as the config describes it, whether or not the run is refitted.

    Raises:
        InputError: the split rejects a value

    """
    section = {key: value for key, value in config["split"].items() if key != "refit"}
    split: Strategy = build("split", section, trust=config.get("trust", ()))
    return split


def _final_split(config: Mapping[str, Any]) -> Strategy:
    """Build the split of the model that a run reports: a refit trains on the validation clips too."""
    refit = config["split"].get("refit", False)
    if not isinstance(refit, bool):
        raise InputError(f"split.refit is {refit!r}; expected true or false")
    drawn = build_split(config)
    return ValidationInTraining(drawn=drawn) if refit else drawn


def assemble_preparation(
    config: Mapping[str, Any], *, progress: Progress, split: Strategy | None = None
) -> Preparation:
    """Build the corpus, the split, the feature cache and the parts that they need.

    Args:
        config: resolved config of a run
        progress: wrapper that shows the progress of the feature computation
        split: replaces the split of the config, if given

    Raises:
        InputError: a part rejects one of its values

    """
    trust = config.get("trust", ())
    corpus = build_corpus(config["corpus"], trust=trust)
    settings = {name: config[name] for name in ("audio", "augment", "features")}
    parts = {name: build(name, section, trust=trust) for name, section in settings.items()}
    parts |= {"corpus": corpus, "split": _final_split(config) if split is None else split}
    if hasattr(corpus, "fetch"):  # downloads the corpus if its config asks for it
        corpus.fetch()
    values, _ = _divide(config["data"])
    check_values("data", Preparation, values, parts | {"settings": settings, "progress": progress})
    return Preparation(**values, **parts, settings=settings, progress=progress)


def assemble_data(
    config: Mapping[str, Any],
    *,
    progress: Progress,
    split: Strategy | None = None,
    preparation: Preparation | None = None,
) -> SpeechDataModule:
    """Build the data module and its parts.

    Args:
        config: resolved config of a run
        progress: wrapper that shows the progress of the feature computation
        split: replaces the split of the config, if given
        preparation: the preparation, if another run of the same data has built it

    Raises:
        InputError: a part rejects one of its values

    """
    from ser_lightning.data.datamodule import SpeechDataModule  # imports Lightning, which takes seconds

    if config["data"].get("shard") is not None:
        raise InputError(
            f"data.shard is {config['data']['shard']!r}; only ser-prepare divides a corpus, and a run reads all shards:"
            " leave data.shard and data.shards out"
        )
    if preparation is None:
        preparation = assemble_preparation(config, progress=progress, split=split)
    arguments = {"preparation": preparation, "seed": config["seed"]}
    _, values = _divide(config["data"])
    check_values("data", SpeechDataModule, values, arguments)
    return SpeechDataModule(**values, **arguments)


def assemble_evaluation(config: Mapping[str, Any]) -> Evaluation:
    """Build the evaluation settings of a network.

    Raises:
        InputError: a value is not a bool

    """
    evaluation: Evaluation = build("evaluation", config["evaluation"], trust=config.get("trust", ()))
    return evaluation


def _divide(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the values of ``data`` into those of the preparation and those of the data module.

    Those of a teacher belong to neither: only training reads it, see :mod:`ser_lightning.distillation`.
    """
    first = {key: value for key, value in values.items() if key in inspect.signature(Preparation).parameters}
    return first, {key: value for key, value in values.items() if key not in first and key not in TEACHER}
