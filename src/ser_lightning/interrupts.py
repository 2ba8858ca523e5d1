"""Ctrl-C, SIGTERM, and processes that must not outlive the one that started them."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PR_SET_PDEATHSIG = 1  # of sys/prctl.h


class InterruptedRunError(BaseException):
    """A signal asked this process to end. Like KeyboardInterrupt no Exception, so that nothing mistakes it for a fault.

    Args:
        signum: the signal
        message: what to tell the user

    """

    def __init__(self, signum: int, message: str = "interrupted; the same command resumes where it was") -> None:
        super().__init__(signum, message)
        self.signum = signum
        self.message = message

    @property
    def code(self) -> int:
        """Exit code by which shells know what ended a process."""
        return 128 + self.signum


class _Handler:
    """The first signal becomes an exception; the second ends the process at once, or is passed over.

    Args:
        patient: pass over the second

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
    """Turn the first Ctrl-C or SIGTERM into an exception; the second ends the process at once.

    Raises:
        InterruptedRunError: a signal came

    """
    signals = (signal.SIGINT, signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()  # signals are the main thread's
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
    """Turn the first Ctrl-C or SIGTERM into an exception and pass over what comes later.

    For a process that is told to end by another, which may be gone, and say so by a second signal, before it has.
    """
    handler = _Handler(patient=True)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handler)


def ending_at_once() -> None:
    """Leave Ctrl-C to the process that started this one, and let SIGTERM end this one without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_with(parent: int, signum: int = signal.SIGKILL) -> None:
    """Have this process get a signal when the one that started it dies, however it dies. Linux only.

    Args:
        parent: process id of that one
        signum: the signal

    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:  # it died before this was asked for
        os.kill(os.getpid(), signum)
