"""Run the subprocesses of a sweep, and share the processor cores of this machine between them."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import filelock

from ser_lightning.errors import FULL_ERROR
from ser_lightning.interrupts import JOB_PARENT, InterruptedRunError

WAIT = 0.25  # mean seconds between attempts to acquire processor cores
TAIL, LONGEST = 50, 2000  # number of kept stderr lines of a job, and their maximum length in characters


@dataclass(frozen=True, kw_only=True)
class JobProcess:
    """A subprocess of a sweep.

    Args:
        words: its command line
        cwd: working directory
        full_error: whether the user requested tracebacks with ``HYDRA_FULL_ERROR=1``
        module: module of this package that it runs

    """

    words: Sequence[str]
    cwd: str
    full_error: bool
    module: str = "ser_lightning.cli.job_process"


def run_processes(processes: Sequence[JobProcess]) -> list[str]:
    """Run processes at the same time; return why each failed in one line, or an empty string on success.

    Args:
        processes: the processes

    Raises:
        InterruptedRunError: a signal was received; it was forwarded, and the processes have ended

    """
    quiet = sys.stdout.isatty()  # the terminal shows the table of the sweep; the job's output is in its log
    outputs: list[deque[str]] = [deque(maxlen=TAIL) for _ in processes]
    with contextlib.ExitStack() as opened:
        started = [opened.enter_context(_start(process, quiet=quiet)) for process in processes]
        readers = [
            threading.Thread(target=_read, args=(process.stderr, lines), kwargs={"quiet": quiet}, daemon=True)
            for process, lines in zip(started, outputs, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            codes = [process.wait() for process in started]
        except InterruptedRunError as error:
            for process in started:
                process.send_signal(error.signum)
            for process in started:
                process.wait()
            raise
        for reader in readers:
            reader.join(timeout=5)  # processes started by the job may keep the pipe open for a moment
    return [_reason(code, lines) for code, lines in zip(codes, outputs, strict=True)]


def _start(process: JobProcess, *, quiet: bool) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != FULL_ERROR}
    environment |= {JOB_PARENT: str(os.getpid())} | ({FULL_ERROR: "1"} if process.full_error else {})
    return subprocess.Popen(  # noqa: S603 - runs this package's own command
        [sys.executable, "-m", process.module, *process.words],
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=process.cwd if Path(process.cwd).is_dir() else None,
        process_group=0,  # Ctrl-C in the terminal reaches only this process, which forwards it
    )


def _read(stream: IO[bytes], lines: deque[str], *, quiet: bool) -> None:
    """Keep the last lines of a stream and, unless ``quiet``, print all of them to stderr."""
    for raw in stream:
        line = raw.decode(errors="replace").rstrip("\n")
        lines.append(line[:LONGEST])
        if not quiet:
            print(line, file=sys.stderr, flush=True)


def _reason(code: int, lines: Sequence[str]) -> str:
    """Return in one line why a process failed, or an empty string on success."""
    if code == 0:
        return ""
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}" + (", perhaps for lack of memory" if code == -signal.SIGKILL else "")
    printed = [line.strip() for line in lines if line.strip()]
    return printed[-1].removeprefix("ser-train: ") if printed else f"its process ended with {code} and printed no error"


@contextmanager
def processor_cores(threads: int, *, sweep: str) -> Iterator[None]:
    """Wait until the other jobs of a sweep leave ``threads`` processor cores free on this machine, and reserve them.

    This limits launchers that start all jobs at once.

    Args:
        threads: number of cores that the job uses
        sweep: folder of the sweep

    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    digest = hashlib.sha256(str(Path(sweep).absolute()).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"ser_lightning-{os.getuid() if hasattr(os, 'getuid') else ''}-{digest}"
    folder.mkdir(exist_ok=True)
    locks = [filelock.FileLock(folder / f"{core}.lock") for core in range(cores)]
    needed = min(max(1, threads), cores)
    while True:
        with contextlib.ExitStack() as held:
            acquired = 0
            for lock in locks:
                if acquired == needed:
                    break
                with contextlib.suppress(filelock.Timeout):
                    held.enter_context(lock.acquire(timeout=0))
                    acquired += 1
            if acquired == needed:
                yield
                return
        time.sleep(WAIT * random.uniform(0.5, 1.5))
