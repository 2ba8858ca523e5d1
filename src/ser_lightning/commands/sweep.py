"""What the user sees of a sweep: a table while it runs, and all its failures at the end.

Jobs tell of themselves in files of a board, a hidden folder of the sweep, so that they may run on other machines that
share the file system.
"""

import json
import os
import shutil
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ser_lightning.commands.job import BOARD, DONE, FAILED, JobFailedError
from ser_lightning.kernels.backend import AUTO, native_is_available

SECONDS = 1.0  # between looks at the board


class Screen:
    """What the user sees of a sweep while it runs: a table, where there is a terminal.

    Args:
        board: folder where the jobs tell of themselves

    """

    def __init__(self, board: Path) -> None:
        self.board = board
        self.over = threading.Event()
        self.live = Live(Table(), console=Console(), auto_refresh=False) if sys.stdout.isatty() else None
        self.thread = threading.Thread(target=self._show, daemon=True)
        if self.live is not None:
            self.live.start()
            self.thread.start()

    def _show(self) -> None:
        while not self.over.wait(SECONDS):
            self._refresh()

    def _refresh(self) -> None:
        if self.live is not None:
            self.live.update(self._table(going_on=True), refresh=True)

    def _table(self, *, going_on: bool) -> Table:
        return jobs_table(read_board(self.board), sweep=self.board.parents[1], going_on=going_on)

    def close(self) -> list[dict[str, Any]]:
        """Take the board down and return what was on it."""
        self.over.set()
        if self.live is not None:
            self.thread.join()
            self.live.update(self._table(going_on=False), refresh=True)
            self.live.vertical_overflow = "visible"
            self.live.stop()
        jobs = read_board(self.board)
        shutil.rmtree(self.board, ignore_errors=True)
        if self.board.parent.is_dir() and not any(self.board.parent.iterdir()):
            self.board.parent.rmdir()
        return jobs


_screens: list[Screen] = []  # of this process; Hydra gives no other way from its callback to the command


class Watch(Callback):
    """Hydra's callback: put the board up when a sweep begins. It goes to the workers, so that it holds nothing."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the board and begin to show it."""
        if AUTO in (OmegaConf.select(config, "features.backend"), OmegaConf.select(config, "augment.backend")):
            native_is_available()  # says once, for all jobs, what a missing compiler costs
        boards = Path(config.hydra.sweep.dir).absolute() / ".jobs"
        _forget_the_killed(boards)
        board = boards / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        board.mkdir(parents=True)
        os.environ[BOARD] = str(board)
        _screens.append(Screen(board))


def _forget_the_killed(boards: Path) -> None:
    """Take down the boards of this machine's sweeps that were killed and could not do so."""
    for board in boards.glob(f"{socket.gethostname()}-*-*"):
        try:
            os.kill(int(board.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(board, ignore_errors=True)
        except PermissionError:
            continue  # another user's, and alive


@contextmanager
def told_at_the_end(command: str) -> Iterator[None]:
    """Once a sweep is over, list the jobs that failed with their folder and reason, and end with 1 if there are any."""
    try:
        yield
    except JobFailedError as error:  # Hydra raises the first, when all jobs are over
        if not _tell_failures(command):  # it ran where the board is not
            print(f"{command}: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenExecutor:
        _tell_failures(command)
        print(f"{command}: a worker of the sweep was killed; start the same command again to go on", file=sys.stderr)
        sys.exit(1)
    finally:
        _tell_failures(command)  # of a sweep that was interrupted


def _tell_failures(command: str) -> bool:
    if not _screens:
        return False
    os.environ.pop(BOARD, None)
    jobs = _screens.pop().close()
    failed = [job for job in jobs if job["state"] == FAILED]
    for job in failed:
        print(f"{command}: failed: {job['folder']}: {job['reason']}", file=sys.stderr)
    if failed:
        print(
            f"{command}: {len(failed)} of {len(jobs)} jobs failed; mend what they say and start the same command again:"
            " what is done stays done",
            file=sys.stderr,
        )
    return bool(failed)


def read_board(board: Path) -> list[dict[str, Any]]:
    """Return what the jobs of a sweep told last, in their order."""
    jobs = [json.loads(path.read_text(encoding="utf-8")) for path in board.glob("*.json")]
    return sorted(jobs, key=lambda job: job["number"])


def jobs_table(jobs: list[dict[str, Any]], *, sweep: Path, going_on: bool) -> Table:
    """Return a table of the jobs that began: which, how far, how well.

    Args:
        jobs: what they told
        sweep: the folder that the runs are in
        going_on: leave out those that are done, which may be more than a screen has lines

    """
    # Every command finds this module through Hydra's callbacks, and most need neither torch nor Lightning.
    from ser_lightning.callbacks.record import last_epoch
    from ser_lightning.commands.run_folder import LOG

    done = sum(job["state"] == DONE for job in jobs)
    table = Table(caption=f"{done} done, {sum(job['state'] == FAILED for job in jobs)} failed")
    for heading in ("job", "run", "state", "epoch", "validation UAR"):
        table.add_column(heading)
    for job in jobs:
        if going_on and job["state"] == DONE:
            continue
        epoch, values = last_epoch(Path(job["folder"]) / LOG) or (-1, {})
        uar = f"{100 * values['val/uar']:.1f} %" if "val/uar" in values else ""
        shown = {DONE: "[green]done[/]", FAILED: f"[red]failed[/]: {escape(job['reason'])}"}.get(
            job["state"], job["state"]
        )
        run = os.path.relpath(job["folder"], sweep)
        table.add_row(str(job["number"]), escape(run), shown, f"{epoch + 1} of {job['epochs']}", uar)
    return table
