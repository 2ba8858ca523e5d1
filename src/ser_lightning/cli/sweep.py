"""User interface of a sweep: folders named after the swept keys, a live table, and a list of failures at the end.

Jobs report their states in the journal, a hidden file in the folder of the sweep, because a launcher may run them on
other machines that share only the file system. The epoch of a run is read from its log file.
"""

import json
import os
import re
import socket
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ser_lightning.cli import run_id  # noqa: F401 - registers the resolver that train.yaml names
from ser_lightning.cli.overrides import (
    parse_overrides,
    quote_text,
    quote_text_values,
    restore_typed_text,
    typed_overrides,
)
from ser_lightning.kernels.backend import AUTO, native_is_available

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
UPDATE_INTERVAL = 1.0  # seconds between updates of the table
LOG = "train.log"
_EPOCH = re.compile(r"DEBUG epoch (\d+) (.*)")
_TAIL = 2000  # bytes of a log that hold its last epoch


class JobFailedError(Exception):
    """A job of a sweep failed."""


class SweepCallback(Callback):
    """Hydra callback that keeps paths and names as typed, names the runs of a sweep and shows its table.

    Args:
        fixed: in a job, the keys that have the same value in every job
        lists_jobs: whether the jobs report their states, to show them in a table and list those that failed
        journal: in a job, the file that it reports its states to

    """

    def __init__(self, *, fixed: list[str] | None, lists_jobs: bool, journal: str | None) -> None:
        self.fixed, self.lists_jobs, self.journal = fixed, lists_jobs, journal

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Set paths and names to the typed text before Hydra creates a folder from them."""
        restore_typed_text(config, typed_overrides(config.hydra.overrides.task))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Pass the fixed keys and the journal to the jobs, and start to show the sweep.

        Jobs are composed with the overrides stored in the sweep's ``hydra`` config, so they are passed there.
        """
        _silence_resource_trackers()
        if AUTO in (OmegaConf.select(config, "features.backend"), OmegaConf.select(config, "augment.backend")):
            native_is_available()  # warns about a missing compiler once for all jobs
        words = quote_text_values(typed_overrides(config.hydra.overrides.task))
        restore_typed_text(config, typed_overrides(config.hydra.overrides.task))
        fixed = [override.get_key_element() for override in parse_overrides(words) if not override.is_sweep_override()]
        journal = _begin_journal(Path(config.hydra.sweep.dir).absolute()) if self.lists_jobs else None
        added = [
            f"hydra.callbacks.sweep.fixed=[{','.join(map(quote_text, fixed))}]",
            f"hydra.callbacks.sweep.journal={'null' if journal is None else quote_text(str(journal))}",
        ]
        hydra_words = typed_overrides(config.hydra.overrides.hydra)
        if not any(word.startswith("hydra/job_logging=") for word in hydra_words):
            added.append("hydra/job_logging=terminal")  # train.log is written by the subprocess of the job
        with read_write(config):
            config.hydra.overrides.task = words
            config.hydra.overrides.hydra = [*hydra_words, *added]
        if journal is not None:
            _sweeps.append(Progress(journal))


def _silence_resource_trackers() -> None:
    """Ignore the warnings of joblib's and Python's cleanup processes, which would follow the last line of the sweep.

    Those processes remove what an interrupted or killed sweep left in shared memory, and warn about it although the
    user can do nothing. They inherit the environment.
    """
    filters = [name for name in os.environ.get("PYTHONWARNINGS", "").split(",") if name]
    os.environ["PYTHONWARNINGS"] = ",".join(dict.fromkeys([*filters, "ignore:resource_tracker:UserWarning"]))


def _begin_journal(folder: Path) -> Path | None:
    """Create the journal of a sweep; return ``None`` if the folder is not writable, which the jobs report."""
    host = socket.gethostname()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f".jobs-{host}-*-*.jsonl*"):  # journals of sweeps on this machine that were killed
            try:
                os.kill(int(stale.name.split("-")[-2]), 0)
            except ProcessLookupError:
                stale.unlink(missing_ok=True)
            except (PermissionError, ValueError):
                continue  # the process belongs to another user and is running, or the name has no process id
        journal = folder / f".jobs-{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        journal.touch()
    except OSError:
        return None
    return journal


def report_state(journal: str | None, state: Mapping[str, Any]) -> None:
    """Append the state of a job to the journal of its sweep."""
    if journal is None or not Path(journal).exists():
        return
    with suppress(OSError), filelock.FileLock(f"{journal}.lock"), Path(journal).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(state)) + "\n")


def read_journal(journal: Path) -> list[dict[str, Any]]:
    """Return the last reported state of every started job, in job order."""
    jobs: dict[int, dict[str, Any]] = {}
    with suppress(OSError):
        for line in journal.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the line is incomplete: still being written, or cut off by a full disk
                state = json.loads(line)
                jobs[state["number"]] = state
    return [jobs[number] for number in sorted(jobs)]


class Progress:
    """Live table of a running sweep, shown if standard output is a terminal.

    Args:
        journal: file that the jobs report to

    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.ended = threading.Event()
        self.live = Live(Table(), console=Console(), auto_refresh=False) if sys.stdout.isatty() else None
        self.thread = threading.Thread(target=self._show, daemon=True)
        if self.live is not None:
            self.live.start()
            self.thread.start()

    def _show(self) -> None:
        while not self.ended.wait(UPDATE_INTERVAL):
            self._update(unfinished_only=True)

    def _update(self, *, unfinished_only: bool) -> None:
        if self.live is not None:
            jobs = read_journal(self.journal)
            table = jobs_table(jobs, sweep=self.journal.parent, unfinished_only=unfinished_only)
            self.live.update(table, refresh=True)

    def close(self) -> list[dict[str, Any]]:
        """Show the final table, remove the journal and return the job states."""
        self.ended.set()
        if self.live is not None:
            self.thread.join()
            self.live.vertical_overflow = "visible"
            self._update(unfinished_only=False)
            self.live.stop()
        jobs = read_journal(self.journal)
        for path in (self.journal, Path(f"{self.journal}.lock")):
            path.unlink(missing_ok=True)
        return jobs


_sweeps: list[Progress] = []  # sweeps of this process; Hydra offers no other channel from its callback to the command


@contextmanager
def listing_failures(command: str) -> Iterator[None]:
    """After a sweep, list failed jobs with folder and reason, and exit with code 1 if there are any."""
    try:
        yield
    except JobFailedError as error:  # Hydra raises the first error after all jobs have ended
        if not _list_failures(command):  # the journal could not be written
            print(f"{command}: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenExecutor:
        _list_failures(command)
        print(f"{command}: a worker of the sweep was killed; rerun the same command to resume", file=sys.stderr)
        sys.exit(1)
    except SystemExit as ended:
        if _list_failures(command) and not ended.code:  # some sweepers continue after failed jobs
            sys.exit(1)
        raise
    finally:
        _list_failures(command)  # for a sweep that was interrupted


def _list_failures(command: str) -> bool:
    if not _sweeps:
        return False
    jobs = _sweeps.pop().close()
    failed = [job for job in jobs if job["state"] == FAILED]
    for job in failed:
        print(f"{command}: failed: {job['folder']}: {job['reason']}", file=sys.stderr)
    if failed:
        print(
            f"{command}: {len(failed)} of {len(jobs)} jobs failed. Fix the errors above and rerun the same command;"
            " finished jobs are skipped.",
            file=sys.stderr,
        )
    return bool(failed)


def jobs_table(jobs: list[dict[str, Any]], *, sweep: Path, unfinished_only: bool) -> Table:
    """Return a table of the started jobs with run, state, epoch and validation UAR.

    Args:
        jobs: states of the jobs
        sweep: folder that contains the runs
        unfinished_only: omit finished jobs, which may be more than fit on the screen

    """
    done = sum(job["state"] == DONE for job in jobs)
    table = Table(caption=f"{done} done, {sum(job['state'] == FAILED for job in jobs)} failed")
    for heading in ("job", "run", "state", "epoch", "validation UAR"):
        table.add_column(heading)
    for job in jobs:
        if unfinished_only and job["state"] == DONE:
            continue
        epochs, uar = last_epoch(Path(job["folder"]) / LOG)
        state = {DONE: "[green]done[/]", FAILED: f"[red]failed[/]: {escape(job['reason'])}"}.get(
            job["state"], job["state"]
        )
        run = os.path.relpath(job["folder"], sweep)
        score = "" if uar is None else f"{100 * uar:.1f} %"
        table.add_row(str(job["number"]), escape(run), state, f"{epochs} of {job['epochs']}", score)
    return table


def last_epoch(log_file: Path) -> tuple[int, float | None]:
    """Return the number of epochs in a run's log and the validation UAR of the last one."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - _TAIL))
            epochs = _EPOCH.findall(file.read().decode(errors="replace"))
    except OSError:
        return 0, None
    if not epochs:
        return 0, None
    epoch, values = epochs[-1]
    uar = re.search(r"val/uar=([\d.]+)", values)
    return int(epoch) + 1, float(uar[1]) if uar else None
