"""A trained run to its result: measured, written down, told."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import TensorBoardLogger

from ser_lightning.atomic import sync
from ser_lightning.callbacks.tensorboard import write_summary
from ser_lightning.checkpoint import load_state, read_checkpoint
from ser_lightning.commands.audit import audit_run
from ser_lightning.commands.run_folder import finish_folder
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.store import corpus_digest
from ser_lightning.evaluation import EVALUATION_MODE, Evaluation, Predictions, predict, write_predictions
from ser_lightning.memory import return_freed_memory
from ser_lightning.metrics import STUDY_BATCH, recall_per_class, study_metric
from ser_lightning.model.fitting import Fitted
from ser_lightning.report.figures import confusion_figure, curves_figure, save
from ser_lightning.runs import FORMAT, complete, provenance, write_json
from ser_lightning.split.split import SUBSETS
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)


def conclude(
    task: EmotionTask,
    data: SpeechDataModule,
    *,
    folder: Path,
    config: dict[str, Any],
    evaluation: Evaluation,
    logger: TensorBoardLogger,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure both checkpoints and write all that a run leaves, ``result.json`` last.

    Args:
        task: trained
        data: what it was trained on
        folder: of the run
        config: resolved
        evaluation: how it is measured
        logger: TensorBoard's
        identity: what else the result says of the run

    Returns:
        what is in ``result.json``

    """
    of = data.preparation
    emotions = of.corpus.emotions
    start = time.perf_counter()
    return_freed_memory()  # training's
    measured, predictions = _measure(task, data, folder / "checkpoints", config, evaluation)
    of.seconds["test"] = time.perf_counter() - start
    result = {
        "format": FORMAT,
        "name": config["name"],
        "run_id": config["run_id"],
        "seed": config["seed"],
        "checkpoint": config["checkpoint"],
        **measured,
        "per_class_recall": {
            subset: {
                emotion: None if recall != recall else float(recall)  # noqa: PLR0124 - NaN: no such clip
                for emotion, recall in zip(emotions, recall_per_class(predictions[subset].confusion), strict=True)
            }
            for subset in ("val", "test")
        },
        "confusion_matrix": {subset: predictions[subset].confusion.tolist() for subset in ("val", "test")},
        "emotions": list(emotions),
        "audit": audit_run(data, task.model, config),
        "counts": {
            subset: len(of.members[subset] if of.augment_first else getattr(of.split, subset)) for subset in SUBSETS
        }
        | {"train_with_copies": len(data.datasets["train"])},
        "corpus": {
            "name": of.corpus.name,
            "digest": corpus_digest(of.utterances),
            "utterances": len(of.utterances),
            "problems": [{"path": problem.path, "reason": problem.reason} for problem in of.problems],
            "nothing_voiced": of.nothing_voiced,
        },
        "epochs": len(task.epochs),
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        **({"chosen": task.model.choice.values()} if isinstance(task.model, Fitted) else {}),
        "history": dict(task.history),
        "seconds": of.seconds,
        "device": device_name(task.trainer.strategy.root_device),
        **identity,
        "config": config,
        **provenance(),
    }
    rows = {subset: (of.members[subset], predictions[subset]) for subset in ("val", "test")}
    write_predictions(folder / "predictions.csv", rows, utterances=of.utterances, emotions=emotions)
    figures = {
        "confusion_matrix": confusion_figure(
            predictions["test"].confusion, emotions, f"{config['name']} {config['run_id']}, test"
        ),
        "curves": curves_figure(task.history, f"{config['name']} {config['run_id']}"),
    }
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    write_summary(logger, result, figures, data=data, predictions=predictions["test"])
    for path in (folder / "tensorboard").iterdir():
        sync(path)
    finish_folder(folder)
    write_json(folder / "result.json", result)
    return result


def _measure(
    task: EmotionTask, data: SpeechDataModule, folder: Path, config: dict[str, Any], evaluation: Evaluation
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """Return what the result says of both checkpoints, and the predictions of the one that heads it."""
    tested = {which: _test(task, data, folder / f"{which}.ckpt", evaluation) for which in ("best", "last")}
    headline, predictions = tested[config["checkpoint"]]
    measured = {
        "metrics": headline["metrics"],
        "checkpoints": {which: summary for which, (summary, _) in tested.items()},
    }
    if evaluation != EVALUATION_MODE:
        summary, _ = _test(task, data, folder / f"{config['checkpoint']}.ckpt", EVALUATION_MODE)
        measured["evaluation_mode_metrics"] = summary["metrics"]
    if config["study_metric"]:
        measured["study_metric"] = {s: study_metric(result.confusion) for s, result in predictions.items()}
    return measured, predictions


def _test(
    task: EmotionTask, data: SpeechDataModule, path: Path, evaluation: Evaluation
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    checkpoint = read_checkpoint(path)
    load_state(task, checkpoint.state, path=path)
    predictions = {
        subset: predict(task.model, data.eval_dataloader(subset), evaluation=evaluation, device=task.device)
        for subset in SUBSETS
    }
    metrics = {subset: result.summary() for subset, result in predictions.items()}
    return {"epoch": checkpoint.epoch, "metrics": metrics}, predictions


def device_name(device: torch.device) -> str:
    """Return what a device is called.

    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def tell(result: Mapping[str, Any]) -> None:
    """Tell the figures of a result."""
    switches = complete(result["config"])["evaluation"]
    how = ", ".join(
        [f"{result['checkpoint']} checkpoint", *(f"evaluation.{key}" for key, on in switches.items() if on is True)]
    )
    log.info("%s %s (%s): %s", result["name"], result["run_id"], how, _in_words(result["metrics"]))
    if "chosen" in result:
        log.info("chosen by inner validation: %s", ", ".join(f"{k} {v:.4g}" for k, v in result["chosen"].items() if v))
    if "evaluation_mode_metrics" in result:
        log.info("the same weights in evaluation mode: %s", _in_words(result["evaluation_mode_metrics"]))
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


def _in_words(metrics: dict[str, Any]) -> str:
    return "  ".join(
        f"{subset} accuracy {100 * metrics[subset]['accuracy']:.1f} % UAR {100 * metrics[subset]['uar']:.1f} %"
        for subset in ("val", "test")
    )
