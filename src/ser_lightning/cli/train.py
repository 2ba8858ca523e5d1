"""``ser-train``: train one run or, with ``--multirun``, a sweep."""

import importlib.util
import logging
import math
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from ser_lightning.atomic import remove_empty_folders
from ser_lightning.build import build, check_target, is_baseline, resolve_backends
from ser_lightning.callbacks.checkpoint_io import SafeCheckpointIO
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.callbacks.record import LoggedRows, Record
from ser_lightning.callbacks.requeue import Requeue
from ser_lightning.callbacks.resume import Resume
from ser_lightning.cli import hydra_app
from ser_lightning.cli.assemble import assemble_data
from ser_lightning.cli.job import FULL_ERROR, Command, start
from ser_lightning.cli.outcome import conclude, tell
from ser_lightning.cli.run_folder import (
    LOG,
    check_same_data,
    find_unfinished,
    how_to_go_on,
    last_checkpoint,
    start_folder,
)
from ser_lightning.cli.sweep import listing_failures
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.data.preparation import Preparation
from ser_lightning.errors import InputError, full_disk, suggestion
from ser_lightning.evaluation import check_batches
from ser_lightning.fine_tuning import initialize
from ser_lightning.interrupts import InterruptedRunError, end_with, ending_softly
from ser_lightning.memory import keep_freed_memory
from ser_lightning.own_code import check_trust, package_digests
from ser_lightning.results import check_checkpoint, finished, science_digest, versions, with_checkpoint_digest
from ser_lightning.splits.split import SUBSETS, write_rows, write_split
from ser_lightning.task import LOGGED, EmotionTask
from ser_lightning.trainer_options import check_callbacks, check_precision, check_trainer_options

log = logging.getLogger(__name__)

EXTRA_LOGGERS = ("wandb", "mlflow")


def main() -> None:
    """Run the console script ``ser-train``."""
    command = Command(pid=os.getpid(), cwd=str(Path.cwd()), full_error=os.environ.get(FULL_ERROR) == "1")
    with ending_softly(), listing_failures("ser-train"):
        hydra_app.run("ser-train", "train", partial(start, command=command))


def train(config: DictConfig) -> float:
    """Train and evaluate a run, unless it has finished already; resume it if it was interrupted.

    Returns:
        the validation UAR of the reported checkpoint, which a sweeper may optimize

    """
    hydra_config = HydraConfig.get()
    folder = Path(config.folder)
    with ending_softly():
        try:
            return _train_alone(config, folder=folder, hydra_config=hydra_config)
        except InterruptedRunError as error:
            raise InterruptedRunError(error.signum, how_to_go_on(folder)) from None


def _train_alone(config: DictConfig, *, folder: Path, hydra_config: Any) -> float:
    """Train while holding the lock of the folder; additional processes of a distributed run write nothing."""
    plain = with_checkpoint_digest(resolve_backends(hydra_app.plain(config)))
    run = partial(
        _train,
        plain,
        folder=folder,
        choices=OmegaConf.to_container(hydra_config.runtime.choices),
        overrides=list(hydra_config.overrides.task),
        sweeping=hydra_config.mode == RunMode.MULTIRUN,
    )
    if not _is_first_process():
        end_with(os.getppid())
        _close_log_file()
        logging.getLogger("ser_lightning").setLevel(logging.WARNING)
        run()
        return math.nan
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise InputError(f"another process is writing {folder}; wait for it or choose another run_id=") from error
    guard = FolderGuard(folder=folder)
    try:
        with guard.quiet_threads():
            result = run(guard=guard)
    except Exception as error:
        if full_disk(error):
            guard.discard_beginnings()
        guard.check()  # the error may be due to a folder that was removed during the run
        raise
    finally:
        if guard.kept:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        guard.discard_remade()
        remove_empty_folders(folder, below=Path(config.output_root))
    return math.nan if result is None else float(result["metrics"]["val"]["uar"])


def _is_first_process() -> bool:
    """Return whether this is the process that the user started, not one that Lightning started for another device."""
    rank: int = getattr(rank_zero_only, "rank", 0)
    return rank == 0


def _close_log_file() -> None:
    """Close the log file of the run in this process, because another process writes it."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()


def _train(
    config: dict[str, Any],
    *,
    folder: Path,
    guard: FolderGuard | None = None,
    choices: Any,
    overrides: list[str],
    sweeping: bool,
) -> dict[str, Any] | None:
    """Train and evaluate one run.

    Args:
        config: resolved config of the run
        folder: folder of the run
        guard: guard of that folder; ``None`` in processes that write nothing
        choices: chosen options of the config groups
        overrides: overrides of the command line
        sweeping: whether the run is a job of a sweep

    Returns:
        the content of ``result.json``; None for a trial (``trainer.fast_dev_run``) and in all processes but the first

    """
    _check(config)
    trial, digest = bool(config["trainer"].get("fast_dev_run")), science_digest(config)
    if trial:
        _close_log_file()
    elif (done := finished(folder, config)) is not None:
        _check_own_code(done, config, folder=folder)
        log.info("done already: %s", folder)
        tell(done)
        return done
    if is_baseline(config["model"]):
        from ser_lightning.cli.fit import fit  # imports scikit-learn

        return fit(config, folder=folder, identity={"choices": choices, "overrides": overrides, "digest": digest})
    unfinished = None if trial else find_unfinished(folder, digest, averaged=_averages_weights(config))
    _prepare_process(config)

    # Everything is built before any work starts, so that invalid values are reported at once.
    data = assemble_data(
        config, progress=hydra_app.progress(f"features of {config['corpus'].get('name', 'the corpus')}")
    )
    pl.seed_everything(config["seed"], verbose=False)
    preparation = data.preparation
    task = EmotionTask.from_config(config, emotions=preparation.corpus.emotions, features=preparation.features.size)
    initialization = initialize(
        task.model, config, emotions=preparation.corpus.emotions, features=preparation.features.size
    )
    rows, resume = LoggedRows(), Resume(versions=versions())
    callbacks = [resume, Record(log_file=folder / LOG, rows=rows), Requeue(), *([] if guard is None else [guard])]
    trainer = _build_trainer(
        config, folder=folder, rows=rows, callbacks=callbacks, resumed=unfinished is not None, sweeping=sweeping
    )
    check_precision(trainer, task, features=preparation.features.size)
    preparation.scan()
    check_batches(data, evaluation=task.evaluation)
    if unfinished is not None:
        check_same_data(unfinished, folder=folder, corpus=corpus_digest(preparation.utterances), versions=versions())

    if _is_first_process() and not trial:
        start_folder(folder, config, overrides, unfinished=unfinished)
        write_run_split(folder / "split.csv", preparation)
        # Loggers are built late because some create files on construction.
        trainer.loggers = [
            *(build(f"logger.{name}", part, trust=config["trust"]) for name, part in loggers(config)),
            rows,
        ]
    data.prepare_data()
    data.setup()
    log_data(data)

    try:
        trainer.fit(task, datamodule=data, ckpt_path=None if unfinished is None else str(last_checkpoint(folder)))
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InputError) or not _is_lightnings_own(error):
            raise
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error
    if not _is_first_process():
        return None
    if trial:
        log.info("fast_dev_run: training and validation went through; nothing was written")
        return None
    if _averages_weights(config) and not resume.finished:
        resume.finished = True
        trainer.save_checkpoint(last_checkpoint(folder))
    preparation.seconds["train"] = resume.seconds
    result = conclude(
        task,
        data,
        folder=folder,
        config=config,
        loggers=[logger for logger in trainer.loggers if logger is not rows],
        identity={"choices": choices, "overrides": overrides, "digest": digest}
        | ({} if initialization is None else {"initialization": initialization}),
    )
    tell(result)
    return result


def _check_own_code(result: Mapping[str, Any], config: Mapping[str, Any], *, folder: Path) -> None:
    """Check that the code of trusted packages is the one that a finished run was made with.

    Raises:
        InputError: the code has changed

    """
    changed = sorted(n for n, digest in package_digests(config).items() if result.get("own_code", {}).get(n) != digest)
    if changed:
        raise InputError(
            f"{folder} holds a run made with other code of {', '.join(changed)}; choose another name= or run_id=, or"
            " remove the folder"
        )


def _is_lightnings_own(error: Exception) -> bool:
    """Return whether an error was raised by Lightning itself, to reject an option or a combination of options."""
    package = str(traceback.extract_tb(error.__traceback__)[-1].filename)
    return "pytorch_lightning" in package or "lightning_fabric" in package


def _prepare_process(config: Mapping[str, Any]) -> None:
    """Configure memory and threads of this process, and silence Lightning's warnings about deliberate choices."""
    keep_freed_memory()
    # Deterministic mode would otherwise fill every new tensor before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(config["threads"])
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)
    for message in (
        ".*does not have many workers.*",  # gathering batches is faster than sending them between processes
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*GPU available but not used.*",
        ".*could not find the monitored key.*",  # happens before the first validation; the name is checked earlier
        ".*smaller than the logging interval.*",  # metrics are logged per epoch, not per step
        ".*isinstance\\(treespec, LeafSpec\\).*",  # raised by Lightning's own use of a deprecated torch function
    ):
        warnings.filterwarnings("ignore", message)


def loggers(config: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return name and config of each chosen logger."""
    return list((config.get("logger") or {}).items())


def _build_trainer(
    config: Mapping[str, Any],
    *,
    folder: Path,
    rows: LoggedRows,
    callbacks: Sequence[pl.Callback],
    resumed: bool,
    sweeping: bool,
) -> pl.Trainer:
    """Build the Trainer with the loggers and callbacks of the config and those that every run has."""
    show_bar = config["trainer"]["enable_progress_bar"] and sys.stdout.isatty() and not sweeping
    configured = [
        build(f"callbacks.{name}", part, trust=config["trust"])
        for name, part in config["callbacks"].items()
        # On resume the checkpoint already contains the learning rate that was found.
        if not (resumed and str(part.get("_target_")).endswith(".LearningRateFinder"))
    ]
    bar = [pl.callbacks.RichProgressBar(leave=False)] if show_bar else []
    trainer: pl.Trainer = build(
        "trainer",
        config["trainer"] | {"enable_progress_bar": show_bar},
        logger=rows,
        callbacks=[*configured, *callbacks, *bar],
        plugins=[SafeCheckpointIO()],
        default_root_dir=str(folder),  # where Lightning writes its checkpoint when SLURM preempts the job
    )
    return trainer


def _averages_weights(config: Mapping[str, Any]) -> bool:
    """Return whether a callback replaces the weights after the last epoch."""
    return any(
        str(part.get("_target_")).endswith((".StochasticWeightAveraging", ".WeightAveraging", ".EMAWeightAveraging"))
        for part in config["callbacks"].values()
    )


def write_run_split(path: Path, preparation: Preparation) -> None:
    """Write the subset of each clip or, with ``data.augment_first``, of each augmented copy."""
    if preparation.augment_first:
        write_rows(path, preparation.members, preparation.utterances)
    else:
        write_split(path, preparation.split, preparation.utterances)


def log_data(data: SpeechDataModule) -> None:
    """Log the sizes of the subsets and the number of excluded files."""
    preparation = data.preparation
    if preparation.problems or preparation.nothing_voiced:
        log.info(
            "%d files left out, %d clips kept whole (no voiced frame, or over before audio.offset_s)",
            len(preparation.problems),
            len(preparation.nothing_voiced),
        )
    sizes = "/".join(str(len(getattr(preparation.split, subset))) for subset in SUBSETS)
    log.info("%s utterances to train/val/test; %d training clips with copies", sizes, len(data.datasets["train"]))
    if preparation.augment_first:
        log.info("data.augment_first: altered copies are drawn as clips, validation and test have them too")


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
    check_trust(config["trust"])
    check_checkpoint(config["checkpoint"])
    check_trainer_options(config)
    check_callbacks(config)
    for name, part in loggers(config):
        check_target(f"logger.{name}", part, trust=config["trust"])
        if name in EXTRA_LOGGERS and importlib.util.find_spec(name) is None:
            raise InputError(f"logger={name} needs a library that is missing; pip install 'ser-lightning[{name}]'")
    for key in ("name", "run_id"):
        if Path(config[key]).is_absolute() or ".." in Path(config[key]).parts:
            raise InputError(f"{key} is {config[key]!r}; expected a folder below output_root")
    known = [f"{subset}/{name}" for subset in ("train", "val") for name in LOGGED]
    monitors = {"monitor": config["monitor"]} | {
        f"callbacks.{name}.monitor": part["monitor"]
        for name, part in config["callbacks"].items()
        if part.get("monitor")
    }
    if config["scheduler"].get("monitor") is not None:
        monitors["scheduler.monitor"] = config["scheduler"]["monitor"]
    for key, monitor in monitors.items():
        if monitor not in known:
            raise InputError(f"{key} is {monitor!r}; logged are {', '.join(known)}{suggestion(str(monitor), known)}")
