"""Run a job of a sweep as a subprocess, whose result is the ``result.json`` that it writes.

Whichever Hydra launcher is used, the process in which it calls a job only waits for that subprocess. Jobs therefore
share no state, and a job killed by the operating system does not affect the others.
"""

import json
import logging
import math
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ser_lightning.atomic import remove_empty_folders
from ser_lightning.cli import hydra_app
from ser_lightning.cli.overrides import parse_overrides, quote_text, restore_typed_text, typed_overrides
from ser_lightning.cli.processes import JobProcess, processor_cores, run_processes
from ser_lightning.cli.sweep import DONE, FAILED, RUNNING, WAITING, JobFailedError, report_state
from ser_lightning.errors import InputError
from ser_lightning.interrupts import InterruptedRunError, end_with_parent, signals_as_exceptions
from ser_lightning.memory import permanent_imports
from ser_lightning.results import finished, with_checkpoint_digest

log = logging.getLogger(__name__)

# Hydra's own options that are passed on to a job's command; launcher and sweeper belong to the sweep.
PASSED_ON = ("hydra.searchpath=", "hydra.verbose=")
# Folder of a run that this process trained in a stack -> why it failed; empty if it did not.
STACK_REASONS: dict[str, str] = {}
TRIAL = {"metrics": {"val": {"uar": math.nan}}}


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command that started a sweep; launcher workers receive a copy.

    Args:
        pid: process id
        cwd: working directory
        full_error: whether the user requested tracebacks with ``HYDRA_FULL_ERROR=1``

    """

    pid: int
    cwd: str
    full_error: bool


def run_job(config: DictConfig, *, command: Command) -> float:
    """Run the command of one job of a sweep and wait for it.

    Args:
        config: config of the job
        command: the command that started the sweep; if it dies, this process and the job end too

    Returns:
        the validation UAR in the job's ``result.json``

    Raises:
        JobFailedError: the job failed or its process died
        InterruptedRunError: a signal was received; it was forwarded to the job, which has ended

    """
    job: Any = HydraConfig.get()
    restore_typed_text(config, typed_overrides(job.overrides.task))
    folder = str(config.folder)
    epochs = OmegaConf.select(config, "trainer.max_epochs")
    entry = {"number": int(job.job.num), "folder": folder, "epochs": epochs}

    def report(state: str, reason: str = "") -> None:
        report_state(job.callbacks.sweep.journal, entry | {"state": state, "reason": reason})

    if os.getpid() != command.pid and os.getppid() == command.pid:
        end_with_parent(command.pid, signal.SIGTERM)
    report(WAITING)
    threads = config.threads if isinstance(config.threads, int) else 1  # the job itself reports any other value
    try:
        with signals_as_exceptions():
            _check_names(config, job)
            result = _existing_result(config, folder=Path(folder))
            if result is None and STACK_REASONS.get(folder):
                raise JobFailedError(STACK_REASONS[folder])
            if result is None:
                with processor_cores(threads, sweep=str(job.sweep.dir)):
                    report(RUNNING)
                    words = job_words(config, job)
                    line = JobProcess(words=words, cwd=command.cwd, full_error=command.full_error)
                    (reason,) = run_processes([line])
                    if reason:
                        raise JobFailedError(reason)
                # A trial run (trainer.fast_dev_run) writes no result.json.
                trial = OmegaConf.select(config, "trainer.fast_dev_run")
                result = TRIAL if trial else _read_job_result(Path(folder))
            uar = float(result["metrics"]["val"]["uar"])
    except (JobFailedError, InputError) as error:
        report(FAILED, " ".join(str(error).split()))
        raise JobFailedError(f"{folder}: {error}") from None
    finally:
        # Hydra creates a folder for every job before the config is validated; empty ones are removed.
        remove_empty_folders(Path(job.runtime.output_dir), below=Path(str(config.output_root)).absolute())
    report(DONE)
    return uar


def _check_names(config: DictConfig, job: Any) -> None:
    """Check that the jobs of a sweep do not share one folder.

    Raises:
        InputError: the user's ``run_id`` is the same in every job

    """
    words = typed_overrides(job.overrides.task)
    keys = [override.get_key_element() for override in parse_overrides(words)]
    swept = [key for key in keys if key not in job.callbacks.sweep.fixed]
    run_ids = [word for word in words if word.startswith("run_id=")]
    varies = bool(run_ids) and "${" in run_ids[-1].replace("\\", "")  # Hydra escapes the braces
    if run_ids and swept and "run_id" not in swept and not varies:
        raise InputError(
            f"run_id={config.run_id} gives every job of the sweep the same folder; leave it out, or name what differs:"
            f" run_id='${{{swept[0]}}}'"
        )


def _existing_result(config: DictConfig, *, folder: Path) -> dict[str, Any] | None:
    """Return the result of a job that has already finished, or ``None`` if it has to run."""
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
        result = finished(folder, with_checkpoint_digest(plain))
    except InputError:
        return None  # the job's own command reports the error
    if result is not None and str(folder) not in STACK_REASONS:
        log.info("already finished: %s", folder)
    return result


def _read_job_result(folder: Path) -> dict[str, Any]:
    """Read the ``result.json`` that a job wrote.

    Raises:
        JobFailedError: the file is missing or unreadable

    """
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobFailedError(f"its process ended without an error and left no result.json ({error})") from error
    return result


def job_words(config: DictConfig, job: Any) -> list[str]:
    """Return the command line of the single run that corresponds to a job.

    Args:
        config: config of the job
        job: Hydra configuration of the job

    """
    folders = [source.path for source in job.runtime.config_sources if source.provider == "command-line"]
    return [
        *(word for folder in folders for word in ("--config-dir", folder)),
        *(word for word in typed_overrides(job.overrides.hydra) if word.lstrip("+~").startswith(PASSED_ON)),
        *(word for word in typed_overrides(job.overrides.task) if not word.startswith("run_id=")),
        f"run_id={quote_text(str(config.run_id))}",
        f"hydra.job.num={job.job.num}",
    ]


def start(config: DictConfig, *, command: Command) -> float:
    """Train in this process, or as a job of a sweep in a subprocess; return the validation UAR.

    Args:
        config: config composed by Hydra
        command: the command that started the sweep, of which this process may be a worker

    """
    hydra: Any = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        with permanent_imports("ser_lightning.train"):
            from ser_lightning.train import train  # imports torch, which a sweep itself does not need

        result = train(
            hydra_app.plain(config),
            choices=OmegaConf.to_container(hydra.runtime.choices),  # type: ignore[arg-type]
            overrides=list(hydra.overrides.task),
        )
        return math.nan if result is None else float(result["metrics"]["val"]["uar"])
    try:
        return run_job(config, command=command)
    except InterruptedRunError as error:
        if os.getpid() == command.pid:
            raise
        os._exit(error.code)  # otherwise the launcher's worker would start the next job
