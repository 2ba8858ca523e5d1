"""``ser-explain --importance`` and ``--embeddings``: explain the models of finished runs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.cli.checkpoint_config import config_of_run
from ser_lightning.cli.evaluate import SPLIT
from ser_lightning.errors import InputError
from ser_lightning.explain import embeddings, results
from ser_lightning.explain.importance import check_runs, importance_groups, permutation_importance
from ser_lightning.progress import show_progress
from ser_lightning.reevaluate import OpenRun, open_run

SEED = 0


def open_runs(paths: Sequence[str], *, settings: Sequence[str], trust: Sequence[str]) -> list[OpenRun]:
    """Open the models and the clips of runs.

    Args:
        paths: their checkpoints
        settings: the user's settings, each ``key=value``
        trust: packages of the user whose classes a checkpoint may name

    Raises:
        InputError: a checkpoint cannot be used, or the runs are of different configurations

    """
    checkpoints = [(read_checkpoint(path, trust=trust), path) for path in paths]
    configs = [config_of_run(*checkpoint, settings, refused={"split": SPLIT}) for checkpoint in checkpoints]
    runs = [
        open_run(checkpoint, config, path=Path(path))
        for (checkpoint, path), config in zip(checkpoints, configs, strict=True)
    ]
    check_runs(runs)
    return runs


def explain_importance(
    runs: Sequence[OpenRun], paths: Sequence[str], folder: Path, *, repeats: int, as_json: bool
) -> None:
    """Measure the importance of feature groups on the test clips, write the files and print the result."""
    groups = importance_groups(runs[0].data.preparation.features)
    score, importances = permutation_importance(runs, groups, repeats=repeats, seed=SEED)
    values = {
        **{"runs": list(paths), "uar": score, "repeats": repeats, "seed": SEED},
        "importance": [asdict(each) for each in importances],
    }
    table = results.importance_table(importances)
    results.write_explanation(
        folder, "importance", values=values, table=table, figure=results.importance_figure(importances)
    )
    _print(table, values, as_json=as_json)


def explain_embeddings(
    runs: Sequence[OpenRun], paths: Sequence[str], folder: Path, *, method: str, as_json: bool
) -> None:
    """Measure and map the embeddings of the test clips, write the files and print the result."""
    nearness, maps = [], []
    for run in show_progress("runs")(runs, len(runs)):
        vectors, utterances = embeddings.represent(run)
        labels = embeddings.labels_of(utterances)
        if len(utterances) < 3 or not labels:
            raise InputError("the test clips have neither several emotions nor several speakers; give another run")
        nearness.append({name: embeddings.measure_nearness(space, labels) for name, space in vectors.items()})
        maps.append((vectors, labels, utterances))
    vectors, labels, utterances = maps[0]  # the spaces of different networks cannot be drawn in one map
    places = {name: embeddings.project(space, method=method) for name, space in vectors.items()}
    values = {
        **{"runs": list(paths), "map": method},
        "nearness": [_plain(each) for each in nearness],
        "clips": [utterance.id for utterance in utterances],
        "labels": {name: texts.tolist() for name, texts in labels.items()},
        "places": {name: np.round(points.astype(float), 4).tolist() for name, points in places.items()},
    }
    table = results.nearness_table(nearness)
    figure = results.embedding_figure(places, labels, nearness[0])
    results.write_explanation(folder, "embeddings", values=values, table=table, figure=figure)
    _print(table, values, as_json=as_json)


def _print(table: pd.DataFrame, values: dict[str, Any], *, as_json: bool) -> None:
    """Print the values as one line of JSON, or the table."""
    print(json.dumps(values, allow_nan=False) if as_json else table.to_string(index=False))


def _plain(nearness: dict[str, dict[str, embeddings.Nearness]]) -> dict[str, Any]:
    return {name: {label: each._asdict() for label, each in labels.items()} for name, labels in nearness.items()}
