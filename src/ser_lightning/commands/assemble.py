"""The data of a config, from raw files to batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ser_lightning.build import build, build_corpus, check_values
from ser_lightning.corpus.utterance import Utterance
from ser_lightning.data.preparation import Preparation, Progress
from ser_lightning.split.split import Split

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule
    from ser_lightning.evaluation import Evaluation
    from ser_lightning.loss import EmotionLoss


Strategy = Callable[[Sequence[Utterance]], Split]


def assemble_preparation(
    config: Mapping[str, Any], *, progress: Progress, split: Strategy | None = None
) -> Preparation:
    """Build corpus, split and store and their parts.

    Args:
        config: of a run, resolved
        progress: shows how far the features are
        split: in the place of the one in the config

    Raises:
        InputError: a value that a part refuses

    """
    corpus = build_corpus(config["corpus"])
    parts = {name: build(name, config[name]) for name in ("audio", "augment", "features")}
    parts |= {"corpus": corpus, "split": build("split", config["split"]) if split is None else split}
    if hasattr(corpus, "fetch"):  # it downloads if it is told to
        corpus.fetch()
    values, _ = _divide(config["data"])
    check_values("data", Preparation, values, parts | {"progress": progress})
    return Preparation(**values, **parts, progress=progress)


def assemble_data(config: Mapping[str, Any], *, progress: Progress, split: Strategy | None = None) -> SpeechDataModule:
    """Build the data module and its parts.

    Args:
        config: of a run, resolved
        progress: shows how far the features are
        split: in the place of the one in the config

    Raises:
        InputError: a value that a part refuses

    """
    from ser_lightning.data.datamodule import SpeechDataModule  # and with it Lightning: seconds that others spare

    preparation = assemble_preparation(config, progress=progress, split=split)
    rest = {"preparation": preparation, "seed": config["seed"]}
    _, values = _divide(config["data"])
    check_values("data", SpeechDataModule, values, rest)
    return SpeechDataModule(**values, **rest)


def assemble_evaluation(config: Mapping[str, Any]) -> Evaluation:
    """Build what says how a network is evaluated.

    Raises:
        InputError: a value that is neither true nor false

    """
    evaluation: Evaluation = build("evaluation", config["evaluation"])
    return evaluation


def assemble_loss(config: Mapping[str, Any]) -> EmotionLoss:
    """Build what training minimizes.

    Raises:
        InputError: a value out of its range

    """
    loss: EmotionLoss = build("loss", config["loss"])
    return loss


def _divide(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the values of ``data`` into those of the preparation and those of the batches."""
    first = {key: value for key, value in values.items() if key in inspect.signature(Preparation).parameters}
    return first, {key: value for key, value in values.items() if key not in first}
