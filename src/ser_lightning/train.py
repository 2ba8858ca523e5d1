"""Train and evaluate one run: from its config to its ``result.json``."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException

from ser_lightning.assemble import assemble_data
from ser_lightning.atomic import remove_empty_folders
from ser_lightning.build import is_baseline, resolve_backends
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.callbacks.record import LoggedRows, Record
from ser_lightning.callbacks.requeue import Requeue
from ser_lightning.callbacks.resume import Resume
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.distillation import read_teacher
from ser_lightning.errors import InputError, full_disk
from ser_lightning.evaluate import evaluate_and_save
from ser_lightning.evaluation import check_batches
from ser_lightning.fine_tuning import initialize
from ser_lightning.interrupts import InterruptedRunError, signals_as_exceptions
from ser_lightning.own_code import package_digests
from ser_lightning.process import close_log_file, follow_first_process, is_first_process, prepare_process
from ser_lightning.progress import show_progress
from ser_lightning.refit import Training, start_stage, train_stages
from ser_lightning.result_log import log_plan, log_result
from ser_lightning.results import finished, science_digest, versions, with_checkpoint_digest
from ser_lightning.run_folder import (
    check_same_data,
    find_unfinished,
    last_checkpoint,
    log_subsets,
    resume_hint,
)
from ser_lightning.task import EmotionTask
from ser_lightning.trainer import build_trainer
from ser_lightning.trainer_options import (
    averages_weights,
    build_loggers,
    check_options,
    check_precision,
    is_lightnings_own,
)

log = logging.getLogger(__name__)


def train(config: Mapping[str, Any], *, choices: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any] | None:
    """Train and evaluate a run, unless it has finished already; resume it if it was interrupted.

    Args:
        config: resolved config of the run
        choices: chosen options of the config groups
        overrides: overrides of the command line

    Returns:
        the content of ``result.json``; ``None`` for a trial (``trainer.fast_dev_run``), and in the additional processes
        of a distributed run

    Raises:
        InputError: a value of the config is invalid, or the folder cannot be used
        InterruptedRunError: a signal was received

    """
    config = with_checkpoint_digest(resolve_backends(config))
    folder = Path(config["folder"])
    identity = identity_of(config, choices=choices, overrides=overrides)
    with signals_as_exceptions():
        try:
            if not is_first_process():
                follow_first_process()
                return _run(config, folder=folder, guard=None, identity=identity)
            with own_folder(folder, below=Path(config["output_root"])) as guard:
                return _run(config, folder=folder, guard=guard, identity=identity)
        except InterruptedRunError as error:
            raise InterruptedRunError(error.signum, resume_hint(folder)) from None


def identity_of(config: Mapping[str, Any], *, choices: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return what identifies a run in its result: the chosen options, the overrides and the digest of its config."""
    return {"choices": dict(choices), "overrides": list(overrides), "digest": science_digest(config)}


def _run(
    config: dict[str, Any], *, folder: Path, guard: FolderGuard | None, identity: Mapping[str, Any]
) -> dict[str, Any] | None:
    check_options(config)
    if config["trainer"].get("fast_dev_run"):
        close_log_file()
    elif (result := finished(folder, config)) is not None:
        check_own_code(result, config, folder=folder)
        log.info("already finished: %s", folder)
        log_result(result)
        return result

    def train_stage(training: Training) -> dict[str, Any] | None:
        if is_baseline(config["model"]):
            from ser_lightning.fit import fit  # imports scikit-learn

            return fit(training, guard=guard, identity=identity)
        return _train_network(training, guard=guard, identity=identity)

    result = train_stages(train_stage, config, folder=folder)
    if result is not None:
        log_result(result)
    return result


def _train_network(
    training: Training, *, guard: FolderGuard | None, identity: Mapping[str, Any]
) -> dict[str, Any] | None:
    config, folder, stage = training
    trial = bool(config["trainer"].get("fast_dev_run"))
    unfinished = None if trial else find_unfinished(folder, identity["digest"], averaged=averages_weights(config))
    prepare_process(config)

    # Everything is built before any work starts, so that invalid values are reported at once.
    progress = show_progress(f"features of {config['corpus'].get('name', 'the corpus')}")
    data = assemble_data(config, progress=progress, split=stage.split)
    preparation = data.preparation
    task, initialization = build_task(config, data)
    teacher = read_teacher(config)
    rows, resume = LoggedRows(), Resume(versions=versions())
    record = Record(log_file=stage.log_file, rows=rows, epoch_name=stage.name)
    callbacks = [resume, record, Requeue(), *([] if guard is None else [guard])]
    trainer = build_trainer(
        stage.trainer_config(config),
        folder=folder,
        rows=rows,
        callbacks=callbacks,
        epoch_name=stage.name,
        resumed=unfinished is not None,
    )
    check_precision(trainer, task, features=preparation.features.size)
    preparation.scan()
    preparation.require(stage.subsets)
    check_batches(data, evaluation=task.evaluation)
    if teacher is not None:
        data.teacher, data.teacher_findings = teacher.facts, teacher.check(preparation)
    if unfinished is not None:
        check_same_data(unfinished, folder=folder, corpus=corpus_digest(preparation.utterances), versions=versions())

    if is_first_process() and not trial:
        start_stage(training, preparation, overrides=identity["overrides"], unfinished=unfinished)
        log_plan(config, identity["choices"])
        trainer.loggers = [*build_loggers(config), rows]
    data.prepare_data()
    data.setup()
    if teacher is not None:
        teacher.soften(data, config)
    log_subsets(data)

    _fit(trainer, task, data, checkpoint=None if unfinished is None else last_checkpoint(folder))
    if not is_first_process():
        return None
    if trial:
        log.info("fast_dev_run: training and validation went through; nothing was written")
        return None
    if averages_weights(config) and not resume.finished:
        resume.finished = True
        trainer.save_checkpoint(last_checkpoint(folder))
    preparation.seconds["train"] = resume.seconds
    loggers = [logger for logger in trainer.loggers if logger is not rows]
    if initialization is not None:
        identity = {**identity, "initialization": initialization}
    return evaluate_and_save(
        task,
        data,
        training,
        loggers=loggers,
        identity=identity,
        device=trainer.strategy.root_device,
    )


def _fit(trainer: pl.Trainer, task: EmotionTask, data: SpeechDataModule, *, checkpoint: Path | None) -> None:
    """Train the task, from a checkpoint on if there is one.

    Raises:
        InputError: Lightning rejects an option of the Trainer

    """
    try:
        trainer.fit(task, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InputError) or not is_lightnings_own(error):
            raise
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error


def build_task(config: Mapping[str, Any], data: SpeechDataModule) -> tuple[EmotionTask, dict[str, Any] | None]:
    """Build the untrained task of a run, with the weights of its seed or of ``init_from``.

    Args:
        config: resolved config of the run
        data: the data module of the run

    Returns:
        the task, and what was taken from the checkpoint ``init_from``, if there is one

    Raises:
        InputError: a part rejects one of its values

    """
    emotions, features = data.preparation.corpus.emotions, data.preparation.features.size
    pl.seed_everything(config["seed"], verbose=False)
    task = EmotionTask.from_config(config, emotions=emotions, features=features)
    return task, initialize(task.model, config, emotions=emotions, features=features)


@contextmanager
def own_folder(folder: Path, *, below: Path) -> Iterator[FolderGuard]:
    """Lock the folder of a run, and clean it up after a failure.

    Args:
        folder: folder of the run
        below: folder whose empty subfolders are removed afterward

    Raises:
        InputError: another process writes the folder, or it was removed

    """
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise InputError(f"another process is writing {folder}; wait for it or choose another run_id=") from error
    guard = FolderGuard(folder=folder)
    try:
        with guard.quiet_threads():
            yield guard
    except Exception as error:
        if full_disk(error):
            guard.remove_partial_run()
        guard.check()  # the error may be due to a folder that was removed during the run
        raise
    finally:
        if guard.is_intact:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        guard.remove_recreated_folder()
        remove_empty_folders(folder, below=below)


def check_own_code(result: Mapping[str, Any], config: Mapping[str, Any], *, folder: Path) -> None:
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
