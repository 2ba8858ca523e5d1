"""Handle Ctrl-C and SIGTERM, and end child processes together with their parent."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PR_SET_PDEATHSIG = 1  # from sys/prctl.h


class InterruptedRunError(BaseException):
    """Raised when a signal asks this process to end; a BaseException, so that handlers of errors do not catch it.

    Args:
        signum: number of the signal
        message: message for the user

    """

    def __init__(self, signum: int, message: str = "interrupted; the same command resumes where it was") -> None:
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
        patient: whether to ignore signals after the first

    """

    def __init__(self, *, patient: bool) -> None:
        self.came, self.patient = False, patient

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.came:
            if self.patient:
                return
            os._exit(128 + signum)
        self.came = True
        raise InterruptedRunError(signum)


@contextmanager
def ending_softly() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into an exception; the second exits the process at once.

    Raises:
        InterruptedRunError: a signal was received

    """
    signals = (signal.SIGINT, signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()  # only the main thread can handle signals
    if not in_main or isinstance(signal.getsignal(signal.SIGINT), _Handler):
        yield
        return
    handler = _Handler(patient=False)
    before = {signum: signal.signal(signum, handler) for signum in signals}
    try:
        yield
    finally:
        for signum, was in before.items():
            signal.signal(signum, was)


def hear_once() -> None:
    """Turn the first Ctrl-C or SIGTERM into an exception and ignore later ones.

    For a subprocess whose parent forwards a signal: if the parent then dies, the subprocess receives a second signal
    while it is still shutting down.
    """
    handler = _Handler(patient=True)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handler)


def ending_at_once() -> None:
    """Ignore Ctrl-C, which the parent process handles, and let SIGTERM end this process silently."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_with(parent: int, signum: int = signal.SIGKILL) -> None:
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
