"""Evaluate a trained run, write its results and log its metrics."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger

from ser_lightning.atomic import sync
from ser_lightning.callbacks.summary import logger_files, write_summary
from ser_lightning.checkpoint import complete_checkpoint, load_state, read_checkpoint
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.data.speaker_normalization import describe_normalization
from ser_lightning.data.training_conditions import describe_training_data
from ser_lightning.evaluation import EVALUATION_MODE, Evaluation, Predictions, predict_subset, write_predictions
from ser_lightning.leakage import audit_run
from ser_lightning.memory import return_freed_memory
from ser_lightning.metrics import recall_per_class, study_metric
from ser_lightning.own_code import package_digests
from ser_lightning.refit import Training, with_selection
from ser_lightning.report.calibration_figures import calibration_figure
from ser_lightning.report.figures import confusion_figure, curves_figure, save
from ser_lightning.results import FORMAT, provenance, write_json
from ser_lightning.run_calibration import calibrate, describe_calibration
from ser_lightning.run_card import write_model_card
from ser_lightning.run_folder import SELECTION, finish_folder
from ser_lightning.splits.split import SUBSETS
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)


def evaluate_and_save(
    task: EmotionTask,
    data: SpeechDataModule,
    training: Training,
    *,
    loggers: Sequence[Logger],
    identity: Mapping[str, Any],
    device: torch.device,
) -> dict[str, Any]:
    """Evaluate both checkpoints of a trained network and write all results of the run.

    Args:
        task: the trained task
        data: the data module it was trained with
        training: the only training of the run, or one of two
        loggers: loggers of the run
        identity: digest, choices and overrides to store in the result
        device: device that the network was trained on

    Returns:
        the content of ``result.json``

    """
    config, folder, _ = training
    start = time.perf_counter()
    return_freed_memory()  # release memory that training no longer needs
    tested = _test_both(task, data, folder / "checkpoints", task.evaluation, trust=config["trust"])
    if task.evaluation == EVALUATION_MODE:
        in_evaluation_mode = tested
    else:  # new recordings are predicted in evaluation mode
        in_evaluation_mode = _test_both(task, data, folder / "checkpoints", EVALUATION_MODE, trust=config["trust"])
    evaluated = _evaluated(tested, in_evaluation_mode, config)
    data.preparation.seconds["test"] = time.perf_counter() - start
    facts = {
        "epochs": len(task.history.epochs),
        "steps": task.history.epochs[-1]["step"] + 1,  # optimizer steps
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        "history": task.history.curves(),
        "device": device_name(device),
    }
    return write_results(
        data,
        training,
        predictions=tested[config["checkpoint"]].predictions,
        evaluated=evaluated,
        in_evaluation_mode={which: outcome.predictions for which, outcome in in_evaluation_mode.items()},
        facts=facts,
        audit=audit_run(data, task.model, config),
        loggers=loggers,
        identity=identity,
    )


def write_results(
    data: SpeechDataModule,
    training: Training,
    *,
    predictions: Mapping[str, Predictions],
    evaluated: Mapping[str, Any],
    in_evaluation_mode: Mapping[str, Mapping[str, Predictions]],
    facts: Mapping[str, Any],
    audit: Mapping[str, Any],
    loggers: Sequence[Logger],
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Write all results of a run, ``result.json`` last; those of the selection of a refit, ``selection.json`` last.

    Args:
        data: the data module that the model was trained with
        training: the only training of the run, or one of two
        predictions: subset -> predictions of the checkpoint that is reported as the result
        evaluated: metrics of the checkpoints
        in_evaluation_mode: checkpoint (``best``, ``last``) -> subset -> predictions in evaluation mode
        facts: properties of the trained model: number of parameters, history, device
        audit: findings of the leak checks
        loggers: loggers of the run
        identity: digest, choices and overrides to store in the result

    Returns:
        the content of ``result.json``

    """
    config, folder, stage = training
    preparation = data.preparation
    emotions = preparation.corpus.emotions
    evaluated_subsets = [subset for subset in ("val", "test") if subset in predictions]
    calibrations = calibrate(in_evaluation_mode, config=config, selection=stage.selection)
    training_data = describe_training_data(preparation).as_plain()
    for which in in_evaluation_mode:
        complete_checkpoint(
            folder / "checkpoints" / f"{which}.ckpt",
            calibration=calibrations[which].as_plain() if which in calibrations else None,
            training_data=training_data,
        )
    result: dict[str, Any] = {
        "format": FORMAT,
        "name": config["name"],
        "run_id": config["run_id"],
        "seed": config["seed"],
        "checkpoint": config["checkpoint"],
        **evaluated,
        **_describe_predictions({subset: predictions[subset] for subset in evaluated_subsets}, emotions),
        "emotions": list(emotions),
        "calibration": describe_calibration(calibrations, in_evaluation_mode, config=config, selection=stage.selection),
        "training_data": training_data,
        "audit": dict(audit),
        **_describe_data(data),
        "encoder": getattr(preparation.features, "encoder_facts", None),
        "teacher": data.teacher,
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
    figures = _draw(result, predictions, subset=evaluated_subsets[-1])
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    write_summary(
        loggers,
        result,
        {name: figure for name, figure in figures.items() if name != "curves"},  # loggers draw their own curves
        data=data,
        predictions=predictions.get("test"),
    )
    for path in logger_files(folder, loggers):
        sync(path)
    if "test" in result["metrics"]:  # the selection of a refit has no test metrics
        write_model_card(folder, result, preparation.utterances)
    finish_folder(folder)
    write_json(folder / stage.result, result)
    return result


def _describe_predictions(predictions: Mapping[str, Predictions], emotions: Sequence[str]) -> dict[str, Any]:
    """Return the recall of each class and the confusion matrix of each subset."""
    return {
        "per_class_recall": {
            subset: {
                emotion: None if recall != recall else float(recall)  # noqa: PLR0124 - NaN if the class has no clip
                for emotion, recall in zip(emotions, recall_per_class(subset_predictions.confusion), strict=True)
            }
            for subset, subset_predictions in predictions.items()
        },
        "confusion_matrix": {
            subset: subset_predictions.confusion.tolist() for subset, subset_predictions in predictions.items()
        },
    }


def _describe_data(data: SpeechDataModule) -> dict[str, Any]:
    """Return the sizes of the subsets and the identity and problems of the corpus."""
    preparation = data.preparation
    split = {subset: getattr(preparation.split, subset) for subset in SUBSETS}
    clips = preparation.members if preparation.augment_first else split
    return {
        "counts": {subset: len(clips[subset]) for subset in SUBSETS}
        | {"train_with_copies": len(data.datasets["train"])},
        "corpus": {
            "name": preparation.corpus.name,
            "digest": corpus_digest(preparation.utterances),
            "utterances": len(preparation.utterances),
            "problems": [{"path": problem.path, "reason": problem.reason} for problem in preparation.problems],
            "without_speech": preparation.without_speech,
        },
    }


def _draw(result: Mapping[str, Any], predictions: Mapping[str, Predictions], *, subset: str) -> dict[str, Figure]:
    """Return the figures of a run by name; those of predictions are of one subset."""
    title = f"{result['name']} {result['run_id']}"
    matrix = predictions[subset].confusion
    figures = {"confusion_matrix": confusion_figure(matrix, result["emotions"], f"{title}, {subset}")}
    if result["history"]:
        figures["curves"] = curves_figure(result["history"], title)
    if result["calibration"]["fitted"] is not None:
        figures["calibration"] = calibration_figure(result["calibration"][subset], f"{title}, {subset}")
    return figures


class _Tested(NamedTuple):
    """Epoch, metrics and predictions of a checkpoint."""

    epoch: int
    metrics: dict[str, Any]
    predictions: dict[str, Predictions]


def _evaluated(
    tested: Mapping[str, _Tested], in_evaluation_mode: Mapping[str, _Tested], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the metrics of both checkpoints."""
    which = config["checkpoint"]
    evaluated: dict[str, Any] = {
        "metrics": tested[which].metrics,
        "checkpoints": {name: {"epoch": outcome.epoch, "metrics": outcome.metrics} for name, outcome in tested.items()},
    }
    if in_evaluation_mode is not tested:
        evaluated["evaluation_mode_metrics"] = in_evaluation_mode[which].metrics
    if config["study_metric"]:
        predictions = tested[which].predictions
        evaluated["study_metric"] = {s: study_metric(result.confusion) for s, result in predictions.items()}
    return evaluated


def _test_both(
    task: EmotionTask, data: SpeechDataModule, folder: Path, evaluation: Evaluation, *, trust: Sequence[str]
) -> dict[str, _Tested]:
    return {which: _test(task, data, folder / f"{which}.ckpt", evaluation, trust=trust) for which in ("best", "last")}


def _test(
    task: EmotionTask, data: SpeechDataModule, path: Path, evaluation: Evaluation, *, trust: Sequence[str]
) -> _Tested:
    checkpoint = read_checkpoint(path, trust=trust)
    load_state(task, checkpoint.state, path=path)
    predictions = {
        subset: predict_subset(task.model, data, subset, evaluation=evaluation, device=task.device)
        for subset in data.subsets()
    }
    metrics = {subset: result.summary() for subset, result in predictions.items()}
    return _Tested(checkpoint.epoch, metrics, predictions)


def device_name(device: torch.device) -> str:
    """Return the name of a device: the GPU model for CUDA, otherwise the device type.

    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
