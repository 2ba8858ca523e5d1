"""Evaluate a trained run of a stack and write its results, in this process or in a worker."""

import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ser_lightning.assemble import assemble_data
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.preparation import Preparation
from ser_lightning.distillation import read_teacher
from ser_lightning.evaluate import evaluate_and_save
from ser_lightning.interrupts import end_with_parent, set_worker_signals
from ser_lightning.process import prepare_process
from ser_lightning.progress import show_progress
from ser_lightning.refit import Stage, Training
from ser_lightning.result_log import log_result
from ser_lightning.splits.findings import Finding
from ser_lightning.task import EmotionTask
from ser_lightning.trainer_options import build_loggers

SECTIONS = ("corpus", "split", "audio", "augment", "features", "data")  # what a preparation depends on


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A trained run, whose checkpoints are written.

    Args:
        training: the only training of the run, or one of two
        identity: digest, choices and overrides to store in the result
        initialization: what was taken from the checkpoint ``init_from``, if there is one
        epochs: history of the run
        rows: values and step of each row that its loggers receive
        seconds: training time
        device: device that it was trained on

    """

    training: Training
    identity: dict[str, Any]
    initialization: dict[str, Any] | None
    epochs: list[dict[str, Any]]
    rows: list[tuple[dict[str, float], int]]
    seconds: float
    device: str


class SharedData:
    """Data modules of runs, which share the preparation of the same data."""

    def __init__(self) -> None:
        self.preparations: dict[str, tuple[Preparation, list[Finding]]] = {}

    def of_run(self, config: dict[str, Any], stage: Stage) -> SpeechDataModule:
        """Return the data module of a run, set up, with the training targets of its teacher, if it has one."""
        teacher = read_teacher(config)
        key = json.dumps([stage.name, stage.result, *(config[name] for name in SECTIONS)], sort_keys=True)
        progress = show_progress(f"features of {config['corpus'].get('name', 'the corpus')}")
        preparation, findings = self.preparations.get(key, (None, []))
        data = assemble_data(config, progress=progress, split=stage.split, preparation=preparation)
        if preparation is None:
            data.preparation.scan()
            data.preparation.require(stage.subsets)
            findings = [] if teacher is None else teacher.check(data.preparation)
            data.prepare_data()
            self.preparations[key] = (data.preparation, findings)
        data.setup()
        if teacher is not None:
            data.teacher, data.teacher_findings = teacher.facts, findings
            teacher.soften(data, config)
        return data


def finish_run(trained: TrainedRun, *, task: EmotionTask, data: SpeechDataModule) -> dict[str, Any]:
    """Evaluate a trained run, write its results and return them.

    Args:
        trained: the run
        task: its task with its history
        data: its data module, set up

    """
    with log_of(trained.training.stage.log_file):
        data.preparation.seconds["train"] = trained.seconds
        loggers = build_loggers(trained.training.config)
        for values, step in trained.rows:
            for logger in loggers:
                logger.log_metrics(dict(values), step)
        initialization = {} if trained.initialization is None else {"initialization": trained.initialization}
        result = evaluate_and_save(
            task,
            data,
            trained.training,
            loggers=loggers,
            identity=trained.identity | initialization,
            device=torch.device(trained.device),
        )
        if "test" in result["metrics"]:  # not of the selection of a refit
            log_result(result)
        return result


@contextmanager
def log_of(path: Path) -> Iterator[None]:
    """Write messages to the log file of a run, too."""
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def log_to_terminal() -> None:
    """Write messages to stderr, and let the log of each run have its epochs, too."""
    console = logging.StreamHandler()
    console.setLevel(logging.INFO)
    console.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(console)
    logging.getLogger("ser_lightning").setLevel(logging.DEBUG)


@contextmanager
def start_workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that write results; they import the libraries while the runs are trained."""
    context = multiprocessing.get_context("spawn")  # a forked process could not use the accelerator
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=(os.getpid(),)) as workers:
        for _ in range(count):
            workers.submit(_nothing)
        try:
            yield workers
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker(parent: int) -> None:
    set_worker_signals()
    end_with_parent(parent, signal.SIGKILL)
    log_to_terminal()


def _nothing() -> None:
    """Let the pool start a process."""


_shared = SharedData()  # of a worker


def finish_in_worker(trained: TrainedRun) -> dict[str, Any]:
    """Evaluate a trained run, write its results and return them, with a task and data of this process."""
    config, _, stage = trained.training
    prepare_process(config)
    data = _shared.of_run(config, stage)
    emotions, features = data.preparation.corpus.emotions, data.preparation.features.size
    task = EmotionTask.from_config(config, emotions=emotions, features=features)
    task.history.epochs = trained.epochs
    return finish_run(trained, task=task.to(trained.device), data=data)
