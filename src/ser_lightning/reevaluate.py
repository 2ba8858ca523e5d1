"""Evaluate a finished run again and compare the metrics with its ``result.json``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ser_lightning.assemble import assemble_data, assemble_evaluation
from ser_lightning.build import usable_backends
from ser_lightning.checkpoint import Checkpoint, read_checkpoint, rebuild_model
from ser_lightning.config_files import values_by_key
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.evaluation import Evaluation, check_batches, predict_subset
from ser_lightning.progress import show_progress
from ser_lightning.results import science_digest


@dataclass(frozen=True, kw_only=True)
class Reevaluation:
    """Metrics of a run that was evaluated again.

    Args:
        metrics: subset -> metric -> value
        before: the same of ``result.json``
        changed: keys whose values differ from the checkpoint's config, with both values
        same_config: whether no value that may change the metrics differs

    """

    metrics: Mapping[str, Mapping[str, Any]]
    before: Mapping[str, Mapping[str, Any]]
    changed: list[str]
    same_config: bool

    @property
    def equal(self) -> bool:
        """True if all metrics are equal to the last digit."""
        return all(value == self.before[subset][name] for subset, name, value in self.rows())

    def rows(self) -> Iterator[tuple[str, str, Any]]:
        """Yield subset, name and value of each metric."""
        for subset, values in self.metrics.items():
            for name, value in values.items():
                yield subset, name, value


class FinishedRun(NamedTuple):
    """A finished run: its folder, a checkpoint, the content of ``result.json``, and the config to evaluate it with."""

    folder: Path
    path: Path
    result: Mapping[str, Any]
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A finished run whose model can be evaluated on its clips.

    Args:
        model: the trained model
        data: its clips, set up
        evaluation: how the run is evaluated

    """

    model: nn.Module
    data: SpeechDataModule
    evaluation: Evaluation


def open_run(
    checkpoint: Checkpoint, config: Mapping[str, Any], *, path: Path, data: SpeechDataModule | None = None
) -> OpenRun:
    """Open the model and the clips of a run.

    Args:
        checkpoint: the checkpoint as read
        config: its config, in which values may be changed
        path: its file, for messages
        data: other clips; None for those of the run

    Raises:
        InputError: the corpus or a value of the config does not fit the checkpoint

    """
    evaluation = assemble_evaluation(config)
    if data is None:
        data = assemble_data(config, progress=show_progress("features"))
    data.preparation.scan()
    check_batches(data, evaluation=evaluation)
    data.prepare_data()
    data.setup()
    model = rebuild_model(replace(checkpoint, config=dict(config)), path=path)
    return OpenRun(model=model, data=data, evaluation=evaluation)


def reevaluate(config: Mapping[str, Any], *, path: Path, result: Mapping[str, Any]) -> Reevaluation:
    """Evaluate a checkpoint on the clips of its own run.

    Args:
        config: config of the checkpoint, in which values may be changed
        path: the checkpoint
        result: content of the run's ``result.json``

    Raises:
        InputError: the corpus or a value of the config does not fit the checkpoint

    """
    checkpoint = read_checkpoint(path, trust=config["trust"])
    run = open_run(checkpoint, config, path=path)
    predictions = {
        subset: predict_subset(run.model, run.data, subset, evaluation=run.evaluation, device=torch.device("cpu"))
        for subset in run.data.subsets()
    }
    return Reevaluation(
        metrics={subset: subset_predictions.summary() for subset, subset_predictions in predictions.items()},
        before=result["metrics"],
        changed=list(_changed(values_by_key(usable_backends(checkpoint.config)), values_by_key(config))),
        same_config=science_digest(config) == result["digest"],
    )


def _changed(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield the keys that the settings changed, except ``download``, which is always disabled here."""
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not key.endswith(".download"):
            yield f"{key}: {json.dumps(before.get(key))} -> {json.dumps(now.get(key))}"
