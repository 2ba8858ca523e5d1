"""A job of a sweep, in a process of its own.

Whatever Hydra's launcher is, the process in which it runs a job hands the job on to a child of its own: a job leaves
nothing to the next one, and one that is killed by the system ends nobody else.
"""

import json
import logging
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.interrupts import InterruptedRunError, end_with, ending_softly, hear_once

log = logging.getLogger(__name__)

BOARD = "SER_LIGHTNING_BOARD"  # environment variable: the folder where the jobs of a sweep tell of themselves
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
SECONDS = 0.25  # between tries to get a slot


class JobFailedError(Exception):
    """A job of a sweep failed."""


def run_job(config: DictConfig, function: Callable[[DictConfig], Any], *, launcher: int) -> Any:
    """Run a job of a sweep in a child of this process and wait for it.

    Args:
        config: of the job
        function: takes it; what it returns is pickled
        launcher: process id of the command; if it dies, so does this process and its child

    Returns:
        what the function returned

    Raises:
        JobFailedError: the job raised, or its process died
        InterruptedRunError: a signal came; the child was told and has ended

    """
    number, folder = int(HydraConfig.get().job.num), str(config.folder)
    board = os.environ.get(BOARD)
    told = {"number": number, "folder": folder, "epochs": OmegaConf.select(config, "trainer.max_epochs")}

    def tell(state: str, reason: str = "") -> None:
        if board is not None and Path(board).is_dir():
            with write_atomically(Path(board) / f"{number}.json") as file:
                json.dump(told | {"state": state, "reason": reason}, file)

    if os.getpid() != launcher and os.getppid() == launcher:
        end_with(launcher, signal.SIGTERM)
    tell(WAITING)
    threads = config.threads if isinstance(config.threads, int) else 1  # what else it may be, the job refuses
    with ending_softly(), slot(board, threads=max(1, threads)):
        tell(RUNNING)
        result, reason = in_a_child(lambda: function(config))
        tell(FAILED if reason else DONE, reason)
    if reason:
        raise JobFailedError(f"{folder}: {reason}")
    return result


@contextmanager
def slot(board: str | None, *, threads: int) -> Iterator[None]:
    """Wait until this machine has ``threads`` cores to spare for another job of the sweep.

    Some launchers start every job at once.
    """
    if board is None:
        yield
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    folder = Path(board) / socket.gethostname()
    folder.mkdir(exist_ok=True)
    locks = [filelock.FileLock(folder / f"{n}.lock") for n in range(max(1, cores // threads))]
    while True:
        for lock in locks:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                continue
            try:
                yield
            finally:
                lock.release()
            return
        time.sleep(SECONDS)


def in_a_child(function: Callable[[], Any]) -> tuple[Any, str]:
    """Call a function in a child of this process; return its result and why there is none, in a line."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent, (reading, writing) = os.getpid(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            os.setpgid(0, 0)  # a terminal's Ctrl-C goes to the parent alone, who hands it on
            hear_once()
            end_with(parent, signal.SIGTERM)
            if sys.stdout.isatty():  # the table is there; what a job says is in its log
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1), os.dup2(quiet, 2)
            code = _work(function, writing)
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # what the parent has open is the parent's to close
    os.close(writing)
    _leave_the_log()
    try:
        with os.fdopen(reading, "rb") as pipe:
            sent = pipe.read()
        _, status = os.waitpid(child, 0)
    except InterruptedRunError as error:
        os.kill(child, error.signum)
        os.waitpid(child, 0)
        raise error
    code = os.waitstatus_to_exitcode(status)
    if sent and code >= 0:
        result, reason = pickle.loads(sent)  # noqa: S301 - of our own child
        return result, reason
    if code < 0:
        name = signal.Signals(-code).name
        return None, f"its process was killed by {name}" + (", perhaps for lack of memory" if code == -9 else "")
    return None, f"its process ended with {code} and said nothing"


def _leave_the_log() -> None:
    """Write no more to the log of the run: it is the child's, who removes its folder where the run is refused.

    Launchers say things of their own, by the same loggers, before and after a job.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()


def _work(function: Callable[[], Any], writing: int) -> int:
    """Call a function, send what came of it and return the exit code."""
    result, reason, code = None, "", 0
    try:
        result = function()
    except InterruptedRunError as error:
        log.warning("%s", error.message)
        return error.code
    except InputError as error:
        reason, code = " ".join(str(error).split()), 1
    except Exception as error:
        log.error("%s", traceback.format_exc())
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason, code = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})", 1
    with os.fdopen(writing, "wb") as pipe:
        pickle.dump((result, reason), pipe)
    return code
