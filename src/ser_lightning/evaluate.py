"""Evaluate a trained run, write its results and log its metrics."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from ser_lightning.atomic import sync
from ser_lightning.callbacks.summary import logger_files, write_summary
from ser_lightning.checkpoint import load_state, read_checkpoint
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.data.speaker_normalization import describe_normalization
from ser_lightning.evaluation import EVALUATION_MODE, Evaluation, Predictions, predict, write_predictions
from ser_lightning.leakage import audit_run
from ser_lightning.memory import return_freed_memory
from ser_lightning.metrics import STUDY_BATCH, recall_per_class, study_metric
from ser_lightning.own_code import package_digests
from ser_lightning.refit import Stage, with_selection
from ser_lightning.report.figures import confusion_figure, curves_figure, save
from ser_lightning.results import FORMAT, provenance, write_json
from ser_lightning.run_folder import SELECTION, finish_folder
from ser_lightning.splits.split import SUBSETS
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)


def evaluate_and_save(
    task: EmotionTask,
    data: SpeechDataModule,
    *,
    folder: Path,
    config: dict[str, Any],
    loggers: Sequence[Logger],
    identity: Mapping[str, Any],
    stage: Stage,
) -> dict[str, Any]:
    """Evaluate both checkpoints of a trained network and write all results of the run.

    Args:
        task: the trained task
        data: the data module it was trained with
        folder: folder of the run
        config: resolved config
        loggers: loggers of the run
        identity: digest, choices and overrides to store in the result
        stage: the only training of the run, or one of two

    Returns:
        the content of ``result.json``

    """
    start = time.perf_counter()
    return_freed_memory()  # release memory that training no longer needs
    evaluated, predictions = _evaluate(task, data, folder / "checkpoints", config)
    data.preparation.seconds["test"] = time.perf_counter() - start
    facts = {
        "epochs": len(task.epochs),
        "steps": task.epochs[-1]["step"] + 1,  # optimizer steps
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        "history": task.history,
        "device": device_name(task.trainer.strategy.root_device),
    }
    return write_results(
        data,
        folder=folder,
        config=config,
        predictions=predictions,
        evaluated=evaluated,
        facts=facts,
        audit=audit_run(data, task.model, config),
        loggers=loggers,
        identity=identity,
        stage=stage,
    )


def write_results(
    data: SpeechDataModule,
    *,
    folder: Path,
    config: dict[str, Any],
    predictions: Mapping[str, Predictions],
    evaluated: Mapping[str, Any],
    facts: Mapping[str, Any],
    audit: Mapping[str, Any],
    loggers: Sequence[Logger],
    identity: Mapping[str, Any],
    stage: Stage,
) -> dict[str, Any]:
    """Write all results of a run, ``result.json`` last; those of the selection of a refit, ``selection.json`` last.

    Args:
        data: the data module that the model was trained with
        folder: folder of the run
        config: resolved config
        predictions: subset -> predictions of the checkpoint that is reported as the result
        evaluated: metrics of the checkpoints
        facts: properties of the trained model: number of parameters, history, device
        audit: findings of the leak checks
        loggers: loggers of the run
        identity: digest, choices and overrides to store in the result
        stage: the only training of the run, or one of two

    Returns:
        the content of ``result.json``

    """
    preparation = data.preparation
    emotions = preparation.corpus.emotions
    evaluated_subsets = [subset for subset in ("val", "test") if subset in predictions]
    result: dict[str, Any] = {
        "format": FORMAT,
        "name": config["name"],
        "run_id": config["run_id"],
        "seed": config["seed"],
        "checkpoint": config["checkpoint"],
        **evaluated,
        "per_class_recall": {
            subset: {
                emotion: None if recall != recall else float(recall)  # noqa: PLR0124 - NaN if the class has no clip
                for emotion, recall in zip(emotions, recall_per_class(predictions[subset].confusion), strict=True)
            }
            for subset in evaluated_subsets
        },
        "confusion_matrix": {subset: predictions[subset].confusion.tolist() for subset in evaluated_subsets},
        "emotions": list(emotions),
        "audit": dict(audit),
        "counts": {
            subset: len(
                preparation.members[subset] if preparation.augment_first else getattr(preparation.split, subset)
            )
            for subset in SUBSETS
        }
        | {"train_with_copies": len(data.datasets["train"])},
        "corpus": {
            "name": preparation.corpus.name,
            "digest": corpus_digest(preparation.utterances),
            "utterances": len(preparation.utterances),
            "problems": [{"path": problem.path, "reason": problem.reason} for problem in preparation.problems],
            "without_speech": preparation.without_speech,
        },
        "encoder": getattr(preparation.features, "encoder_facts", None),
        "normalization": describe_normalization(preparation.normalize),
        **facts,
        "seconds": preparation.seconds,
        **identity,
        "config": config,
        "own_code": package_digests(config),
        **provenance(),
    }
    if stage.selection is not None:
        result = with_selection(result, stage.selection)
    write_predictions(
        folder / "predictions.csv",
        {subset: (preparation.members[subset], predictions[subset]) for subset in evaluated_subsets},
        utterances=preparation.utterances,
        emotions=emotions,
        more=None if stage.selection is None else folder / SELECTION / "predictions.csv",
    )
    title = f"{config['name']} {config['run_id']}"
    shown = evaluated_subsets[-1]  # test, which the selection of a refit does not have
    figures = {"confusion_matrix": confusion_figure(predictions[shown].confusion, emotions, f"{title}, {shown}")}
    if facts["history"]:
        figures["curves"] = curves_figure(facts["history"], title)
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    write_summary(
        loggers,
        result,
        {"confusion_matrix": figures["confusion_matrix"]},
        data=data,
        predictions=predictions.get("test"),
    )
    for path in logger_files(folder, loggers):
        sync(path)
    finish_folder(folder)
    write_json(folder / stage.result, result)
    return result


def _evaluate(
    task: EmotionTask, data: SpeechDataModule, folder: Path, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """Return the metrics of both checkpoints and the predictions of the reported one."""
    tested = {
        which: _test(task, data, folder / f"{which}.ckpt", task.evaluation, trust=config["trust"])
        for which in ("best", "last")
    }
    headline, predictions = tested[config["checkpoint"]]
    evaluated = {
        "metrics": headline["metrics"],
        "checkpoints": {which: summary for which, (summary, _) in tested.items()},
    }
    if task.evaluation != EVALUATION_MODE:
        path = folder / f"{config['checkpoint']}.ckpt"
        summary, _ = _test(task, data, path, EVALUATION_MODE, trust=config["trust"])
        evaluated["evaluation_mode_metrics"] = summary["metrics"]
    if config["study_metric"]:
        evaluated["study_metric"] = {s: study_metric(result.confusion) for s, result in predictions.items()}
    return evaluated, predictions


def _test(
    task: EmotionTask, data: SpeechDataModule, path: Path, evaluation: Evaluation, *, trust: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    checkpoint = read_checkpoint(path, trust=trust)
    load_state(task, checkpoint.state, path=path)
    predictions = {
        subset: predict(task.model, data.eval_dataloader(subset), evaluation=evaluation, device=task.device)
        for subset in data.subsets()
    }
    metrics = {subset: result.summary() for subset, result in predictions.items()}
    return {"epoch": checkpoint.epoch, "metrics": metrics}, predictions


def device_name(device: torch.device) -> str:
    """Return the name of a device: the GPU model for CUDA, otherwise the device type.

    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def log_result(result: Mapping[str, Any]) -> None:
    """Log the metrics of a result."""
    switches = result["config"]["evaluation"]
    how = ", ".join(
        [
            "test after the refit, val before it" if "refit" in result else f"{result['checkpoint']} checkpoint",
            *(f"evaluation.{key}" for key, on in switches.items() if on is True),
        ]
    )
    log.info("%s %s (%s): %s", result["name"], result["run_id"], how, _format_metrics(result["metrics"]))
    if "chosen" in result:
        log.info("chosen by inner validation: %s", ", ".join(_format_choices(result["chosen"])))
    if "evaluation_mode_metrics" in result:
        log.info("the same weights in evaluation mode: %s", _format_metrics(result["evaluation_mode_metrics"]))
    if "study_metric" in result:
        log.info(
            "study_metric %s: the study's own arithmetic (correct clips per batch of %d), no accuracy; the same"
            " predictions counted rightly are %.1f %% of the test clips",
            json.dumps({subset: round(value, 2) for subset, value in result["study_metric"].items()}),
            STUDY_BATCH,
            100 * result["metrics"]["test"]["accuracy"],
        )
    if result.get("audit", {}).get("leak"):
        log.info("%s", result["audit"]["summary"])


def _format_choices(chosen: Mapping[str, Any]) -> list[str]:
    """Format the chosen values, without those that were not chosen by inner validation.

    >>> _format_choices({"c": 0.0100001, "layers": [1, 2], "uar": None})
    ['c 0.01', 'layers [1, 2]']
    """
    return [
        f"{name} {value:.4g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in chosen.items()
        if value
    ]


def _format_metrics(metrics: dict[str, Any]) -> str:
    return "  ".join(
        f"{subset} accuracy {100 * metrics[subset]['accuracy']:.1f} % UAR {100 * metrics[subset]['uar']:.1f} %"
        for subset in ("val", "test")
        if subset in metrics
    )
