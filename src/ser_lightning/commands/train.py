"""``ser-train``: one run, or with ``--multirun`` a sweep."""

import json
import logging
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import filelock
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from ser_lightning.build import build
from ser_lightning.callbacks.carry_config import CarryConfig
from ser_lightning.callbacks.epoch_log import EpochLog
from ser_lightning.callbacks.tensorboard import write_summary
from ser_lightning.checkpoint import build_model, load_state, read_checkpoint
from ser_lightning.commands import cli
from ser_lightning.commands.assemble import assemble_data, assemble_evaluation
from ser_lightning.commands.audit import audit_run
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.store import corpus_digest
from ser_lightning.errors import InputError
from ser_lightning.evaluation import (
    EVALUATION_MODE,
    Evaluation,
    Predictions,
    check_batches,
    predict,
    write_predictions,
)
from ser_lightning.memory import keep_freed_memory
from ser_lightning.metrics import STUDY_BATCH, recall_per_class, study_metric
from ser_lightning.report.figures import confusion_figure, curves_figure, save
from ser_lightning.runs import FORMAT, check_checkpoint, complete, finished, provenance, science_digest, write_json
from ser_lightning.split.split import SUBSETS, write_split
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)


def main() -> None:
    """Console script ``ser-train``."""
    cli.run("ser-train", "train", train)


def train(config: DictConfig) -> None:
    """Train and test as the config says, unless that is done already."""
    hydra_config = HydraConfig.get()
    folder = Path(config.folder)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise InputError(f"another process is writing {folder}; wait for it or choose another run_id=") from error
    try:
        _train(
            cli.plain(config),
            folder=folder,
            choices=OmegaConf.to_container(hydra_config.runtime.choices),  # type: ignore[arg-type]
            overrides=list(hydra_config.overrides.task),
            sweeping=hydra_config.mode == RunMode.MULTIRUN,
        )
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        _remove_if_empty(folder, below=Path(config.output_root))


def _remove_if_empty(folder: Path, *, below: Path) -> None:
    """Take back the folders that Hydra makes before anything is known to be right."""
    while folder != below and below in folder.parents and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _train(
    config: dict[str, Any], *, folder: Path, choices: dict[str, Any], overrides: list[str], sweeping: bool
) -> None:
    _check(config)
    digest = science_digest(config)
    done = finished(folder, digest)
    if done is not None:
        log.info("done already: %s", folder)
        _tell(done)
        return
    _quieten()
    keep_freed_memory()
    torch.set_num_threads(config["threads"])
    evaluation = assemble_evaluation(config)
    data = assemble_data(config, progress=cli.progress(f"features of {config['corpus']['_target_'].split('.')[-1]}"))
    pl.seed_everything(config["seed"], verbose=False)
    of = data.preparation
    emotions = of.corpus.emotions
    # Built before any work: what it refuses is found at once.
    model = build_model(config, features=of.features.size, classes=len(emotions))
    task = EmotionTask(
        model=model,
        optimizer=_build_optimizer(config, model),
        classes=len(emotions),
        evaluation=evaluation,
    )
    logger = build("logger", config["logger"])
    show_bar = config["trainer"]["enable_progress_bar"] and sys.stdout.isatty() and not sweeping
    callbacks = [build(f"callbacks.{name}", part) for name, part in config["callbacks"].items()]
    callbacks += [CarryConfig(config=config, emotions=emotions, features=of.features.size), EpochLog()]
    if show_bar:
        callbacks.append(pl.callbacks.RichProgressBar(leave=False))
    trainer = build(
        "trainer", config["trainer"] | {"enable_progress_bar": show_bar}, logger=logger, callbacks=callbacks
    )
    of.scan()
    check_batches(data, evaluation=evaluation)
    _start_folder(folder, config, overrides)
    write_split(folder / "split.csv", of.split, of.utterances)
    data.prepare_data()
    if of.problems or of.nothing_voiced:
        log.info(
            "%d files left out, %d clips with no voiced frame kept whole",
            len(of.problems),
            len(of.nothing_voiced),
        )
    data.setup()
    sizes = "/".join(str(len(getattr(of.split, subset))) for subset in SUBSETS)
    log.info("%s utterances to train/val/test; %d training clips with copies", sizes, len(data.datasets["train"]))

    start = time.perf_counter()
    trainer.fit(task, datamodule=data)
    of.seconds["train"] = time.perf_counter() - start

    start = time.perf_counter()
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
        "audit": audit_run(data, model, config),
        "counts": {subset: len(getattr(of.split, subset)) for subset in SUBSETS}
        | {"train_with_copies": len(data.datasets["train"])},
        "corpus": {
            "name": of.corpus.name,
            "digest": corpus_digest(of.utterances),
            "utterances": len(of.utterances),
            "problems": [{"path": problem.path, "reason": problem.reason} for problem in of.problems],
            "nothing_voiced": of.nothing_voiced,
        },
        "epochs": trainer.current_epoch,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "history": dict(task.history),
        "seconds": of.seconds,
        "choices": choices,
        "overrides": overrides,
        "digest": digest,
        "config": config,
        **provenance(),
    }
    rows = {subset: (data.datasets[subset].utterances, predictions[subset]) for subset in ("val", "test")}
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
    write_json(folder / "result.json", result)
    _tell(result)


def _build_optimizer(config: dict[str, Any], model: nn.Module) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    make = build("optim", config["optim"])
    try:
        make(model.parameters())  # Lightning calls it much later: what it refuses shall be known now
    except (TypeError, ValueError) as error:
        raise InputError(f"optim: {error}") from error
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = make
    return optimizer


def _check(config: dict[str, Any]) -> None:
    for key, kind in (
        ("seed", int),
        ("threads", int),
        ("name", str),
        ("run_id", str),
        ("study_metric", bool),
    ):
        if type(config[key]) is not kind:
            raise InputError(f"{key} is {config[key]!r}; expected {kind.__name__}")
    if config["threads"] < 1 or not 0 <= config["seed"] < 2**32:
        raise InputError(
            f"threads is {config['threads']} and seed {config['seed']}; expected at least 1 and 0 to 2^32-1"
        )
    check_checkpoint(config["checkpoint"])
    epochs = config["trainer"]["max_epochs"]
    if type(epochs) is not int or epochs < 1:
        raise InputError(f"trainer.max_epochs is {epochs!r}; expected a whole number of at least 1")
    known = [f"{subset}/{name}" for subset in ("train", "val") for name in ("accuracy", "uar", "macro_f1", "loss")]
    if config["monitor"] not in known:
        raise InputError(f"monitor is {config['monitor']!r}; logged are {', '.join(known)}")


def _start_folder(folder: Path, config: dict[str, Any], overrides: list[str]) -> None:
    """Clear what an unfinished run left and write down what this one is."""
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("predictions.csv", "confusion_matrix.png", "curves.png"):
        (folder / name).unlink(missing_ok=True)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config), folder / ".hydra" / "config.yaml")
    OmegaConf.save(OmegaConf.create(overrides), folder / ".hydra" / "overrides.yaml")


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


def _tell(result: dict[str, Any]) -> None:
    switches = complete(result["config"])["evaluation"]
    how = ", ".join(
        [f"{result['checkpoint']} checkpoint", *(f"evaluation.{key}" for key, on in switches.items() if on)]
    )
    log.info("%s %s (%s): %s", result["name"], result["run_id"], how, _in_words(result["metrics"]))
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


def _quieten() -> None:
    """Silence what Lightning says of choices that are deliberate here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are gathered faster than a process could send them
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*GPU available but not used.*",
        ".*smaller than the logging interval.*",  # nothing is logged by step
        ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning's own, of torch's
    ):
        warnings.filterwarnings("ignore", message)
