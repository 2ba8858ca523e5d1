"""``ser-train``: one run, or with ``--multirun`` a sweep."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import partial
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
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ser_lightning.atomic import remove_empty_folders
from ser_lightning.build import build
from ser_lightning.callbacks.carry_config import CarryConfig
from ser_lightning.callbacks.checkpoint_io import SafeCheckpointIO
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.callbacks.record import Record
from ser_lightning.callbacks.requeue import Requeue
from ser_lightning.callbacks.resume import Resume
from ser_lightning.checkpoint import build_model
from ser_lightning.commands import cli
from ser_lightning.commands.assemble import assemble_data, assemble_evaluation, assemble_loss
from ser_lightning.commands.at_once import check_at_once
from ser_lightning.commands.job import FULL_ERROR, Command, start
from ser_lightning.commands.outcome import conclude, tell
from ser_lightning.commands.run_folder import (
    LOG,
    check_same_data,
    find_unfinished,
    how_to_go_on,
    last_checkpoint,
    start_folder,
)
from ser_lightning.commands.sweep import listing_failures
from ser_lightning.data.store import corpus_digest
from ser_lightning.errors import InputError, full_disk, nearest
from ser_lightning.evaluation import check_batches
from ser_lightning.interrupts import InterruptedRunError, ending_softly
from ser_lightning.memory import keep_freed_memory
from ser_lightning.model.fitting import Fitted
from ser_lightning.runs import check_checkpoint, finished, science_digest, versions
from ser_lightning.split.split import SUBSETS, write_rows, write_split
from ser_lightning.task import EmotionTask

log = logging.getLogger(__name__)


def main() -> None:
    """Console script ``ser-train``."""
    command = Command(pid=os.getpid(), cwd=str(Path.cwd()), full_error=os.environ.get(FULL_ERROR) == "1")
    with ending_softly(), listing_failures("ser-train"):
        cli.run("ser-train", "train", partial(start, command=command))


def train(config: DictConfig) -> float:
    """Train and test as the config says, unless that is done already; go on where an earlier process was stopped.

    Returns:
        the UAR of validation, by the checkpoint that heads the result: what a sweeper may search by

    """
    hydra_config = HydraConfig.get()
    folder = Path(config.folder)
    with ending_softly():
        try:
            return _train_alone(config, folder=folder, hydra_config=hydra_config)
        except InterruptedRunError as error:
            raise InterruptedRunError(error.signum, how_to_go_on(folder)) from None


def _train_alone(config: DictConfig, *, folder: Path, hydra_config: Any) -> float:
    """Train while no other process writes the folder."""
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise InputError(f"another process is writing {folder}; wait for it or choose another run_id=") from error
    guard = FolderGuard(folder=folder)
    try:
        result = _train(
            cli.plain(config),
            guard=guard,
            folder=folder,
            choices=OmegaConf.to_container(hydra_config.runtime.choices),  # type: ignore[arg-type]
            overrides=list(hydra_config.overrides.task),
            sweeping=hydra_config.mode == RunMode.MULTIRUN,
        )
    except Exception as error:
        if full_disk(error):
            guard.discard_beginnings()
        raise
    finally:
        if guard.kept:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        guard.discard_remade()
        remove_empty_folders(folder, below=Path(config.output_root))
    return float(result["metrics"]["val"]["uar"])


def _train(
    config: dict[str, Any],
    *,
    folder: Path,
    guard: FolderGuard,
    choices: dict[str, Any],
    overrides: list[str],
    sweeping: bool,
) -> dict[str, Any]:
    _check(config)
    digest = science_digest(config)
    done = finished(folder, digest)
    if done is not None:
        log.info("done already: %s", folder)
        tell(done)
        return done
    unfinished = find_unfinished(folder, digest)
    _quieten()
    keep_freed_memory()
    # Else, being deterministic, every new array would be written twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(config["threads"])
    evaluation = assemble_evaluation(config)
    data = assemble_data(config, progress=cli.progress(f"features of {config['corpus']['_target_'].split('.')[-1]}"))
    pl.seed_everything(config["seed"], verbose=False)
    of = data.preparation
    emotions = of.corpus.emotions
    # Built before any work: what it refuses is found at once.
    model = build_model(config, features=of.features.size, classes=len(emotions))
    optimizer = _build_optimizer(config, model)
    if isinstance(model, Fitted):
        check_at_once(config, of.augment, model=type(model).__name__)
    task = EmotionTask(
        model=model,
        optimizer=optimizer,
        classes=len(emotions),
        evaluation=evaluation,
        loss=assemble_loss(config),
        scheduler=_build_scheduler(config, optimizer(model.parameters())),
        watched=config["scheduler"].get("monitor"),
    )
    logger = build("logger", config["logger"])
    show_bar = config["trainer"]["enable_progress_bar"] and sys.stdout.isatty() and not sweeping
    callbacks = [_build_callback(name, part) for name, part in config["callbacks"].items()]
    resume = Resume(versions=versions())
    callbacks += [
        resume,
        CarryConfig(config=config, emotions=emotions, features=of.features.size),
        Record(log_file=folder / LOG),
        Requeue(),
        guard,
    ]
    if show_bar:
        callbacks.append(pl.callbacks.RichProgressBar(leave=False))
    trainer = build(
        "trainer",
        config["trainer"] | {"enable_progress_bar": show_bar},
        logger=logger,
        callbacks=callbacks,
        plugins=[SafeCheckpointIO()],
        default_root_dir=str(folder),  # of the checkpoint that Lightning writes when SLURM takes the machine away
    )
    of.scan()
    if unfinished is not None:
        check_same_data(unfinished, folder=folder, corpus=corpus_digest(of.utterances), versions=versions())
    check_batches(data, evaluation=evaluation)
    start_folder(folder, config, overrides, unfinished=unfinished)
    if of.augment_first:
        write_rows(folder / "split.csv", of.members, of.utterances)
    else:
        write_split(folder / "split.csv", of.split, of.utterances)
    data.prepare_data()
    if of.problems or of.nothing_voiced:
        log.info(
            "%d files left out, %d clips kept whole (no voiced frame, or over before audio.offset_s)",
            len(of.problems),
            len(of.nothing_voiced),
        )
    data.setup()
    sizes = "/".join(str(len(getattr(of.split, subset))) for subset in SUBSETS)
    log.info("%s utterances to train/val/test; %d training clips with copies", sizes, len(data.datasets["train"]))
    if of.augment_first:
        log.info("data.augment_first: altered copies are drawn as clips, validation and test have them too")

    trainer.fit(task, datamodule=data, ckpt_path=None if unfinished is None else str(last_checkpoint(folder)))
    of.seconds["train"] = resume.seconds
    result = conclude(
        task,
        data,
        folder=folder,
        config=config,
        evaluation=evaluation,
        logger=logger,
        identity={"choices": choices, "overrides": overrides, "digest": digest},
    )
    tell(result)
    return result


def _build_callback(name: str, config: dict[str, Any]) -> pl.Callback:
    # However often validation is, a run can only go on from the end of an epoch.
    at_end = {"save_on_train_epoch_end": True} if config.get("_target_", "").endswith(".ModelCheckpoint") else {}
    callback: pl.Callback = build(f"callbacks.{name}", {**at_end, **config})
    return callback


def _build_optimizer(config: dict[str, Any], model: nn.Module) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    make = build("optim", config["optim"])
    try:
        make(model.parameters())  # Lightning calls it much later: what it refuses shall be known now
    except (TypeError, ValueError) as error:
        raise InputError(f"optim: {error}") from error
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = make
    return optimizer


def _build_scheduler(config: dict[str, Any], trial: Optimizer) -> Callable[[Optimizer], LRScheduler] | None:
    """Build what makes the scheduler, None if there is to be none; ``trial`` is an optimizer to try it on."""
    part = {key: value for key, value in config["scheduler"].items() if key != "monitor"}
    if not part:
        return None
    make = build("scheduler", part)
    try:
        made = make(trial)
    except (TypeError, ValueError) as error:
        raise InputError(f"scheduler: {error}") from error
    if isinstance(made, ReduceLROnPlateau) and config["scheduler"].get("monitor") is None:
        raise InputError("scheduler.monitor is missing; ReduceLROnPlateau goes by a figure such as train/loss")
    scheduler: Callable[[Optimizer], LRScheduler] = make
    return scheduler


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
    for key in ("name", "run_id"):
        if Path(config[key]).is_absolute() or ".." in Path(config[key]).parts:
            raise InputError(f"{key} is {config[key]!r}; expected a folder below output_root")
    known = [f"{subset}/{name}" for subset in ("train", "val") for name in ("accuracy", "uar", "macro_f1", "loss")]
    monitors = {"monitor": config["monitor"]} | {
        f"callbacks.{name}.monitor": part["monitor"]
        for name, part in config["callbacks"].items()
        if part.get("monitor")
    }
    if config["scheduler"].get("monitor") is not None:
        monitors["scheduler.monitor"] = config["scheduler"]["monitor"]
    for key, monitor in monitors.items():
        if monitor not in known:
            raise InputError(f"{key} is {monitor!r}; logged are {', '.join(known)}{nearest(str(monitor), known)}")


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
