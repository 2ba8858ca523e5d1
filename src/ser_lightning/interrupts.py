"""Handle Ctrl-C and SIGTERM, and end child processes together with their parent."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

JOB_PARENT = "SER_LIGHTNING_JOB_PARENT"  # environment variable with the process id of a sweep job's parent
_PR_SET_PDEATHSIG = 1  # from sys/prctl.h

GRACE = 60  # seconds that a job has to end after a signal


class InterruptedRunError(BaseException):
    """Raised when a signal asks this process to end; a BaseException, so that handlers of errors do not catch it.

    Args:
        signum: number of the signal
        message: message for the user

    """

    def __init__(self, signum: int, message: str = "interrupted; rerun the same command to resume") -> None:
        super().__init__(signum, message)
        self.signum = signum
        self.message = message

    @property
    def code(self) -> int:
        """Exit code that tells shells which signal ended the process."""
        return 128 + self.signum


class _Handler:
    """Signal handler that raises an exception on the first signal; the second exits at once or is ignored.

    Args:
        ignore_later: whether to ignore signals after the first; the process then ends after :data:`GRACE` at the latest

    """

    def __init__(self, *, ignore_later: bool) -> None:
        self.received, self.ignore_later = False, ignore_later

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            if self.ignore_later:
                return
            os._exit(128 + signum)
        self.received = True
        if self.ignore_later:
            # The exception may leave a lock held, such as that of TensorBoard's queue, for which the end then waits.
            signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + signum))
            signal.alarm(GRACE)
        raise InterruptedRunError(signum)


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into an exception; the second exits the process at once.

    Raises:
        InterruptedRunError: a signal was received

    """
    signals = (signal.SIGINT, signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()  # only the main thread can handle signals
    if not in_main or isinstance(signal.getsignal(signal.SIGINT), _Handler):
        yield
        return
    handler = _Handler(ignore_later=False)
    previous = {signum: signal.signal(signum, handler) for signum in signals}
    try:
        yield
    finally:
        for signum, previous_handler in previous.items():
            signal.signal(signum, previous_handler)


def raise_on_first_signal() -> None:
    """Turn the first Ctrl-C or SIGTERM into an exception and ignore later ones.

    For a subprocess whose parent forwards a signal: if the parent then dies, the subprocess receives a second signal
    while it is still shutting down.
    """
    handler = _Handler(ignore_later=True)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handler)


def run_as_job(function: Callable[[], None]) -> None:
    """Run the main function of a job's subprocess, which ends together with its parent and on signals with a message.

    Args:
        function: imports what is slow itself, because signals must be handled during imports

    """
    raise_on_first_signal()
    try:
        parent = os.environ.pop(JOB_PARENT, None)
        if parent is not None:
            end_with_parent(int(parent), signal.SIGTERM)
        function()
    except InterruptedRunError as error:
        print(f"ser-train: {error.message}", file=sys.stderr)
        sys.exit(error.code)


def set_worker_signals() -> None:
    """Ignore Ctrl-C, which the parent process handles, and let SIGTERM end this process silently."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Send a signal to this process when its parent dies, for whatever reason; Linux only.

    Args:
        parent: process id of the parent
        signum: signal to send

    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the request was registered
        os.kill(os.getpid(), signum)
