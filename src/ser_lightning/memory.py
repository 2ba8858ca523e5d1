"""Configure memory allocation of the C library and Python's garbage collection."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Parameter numbers from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of large arrays instead of requesting new pages from the kernel each time.

    By default, glibc maps new pages for every array of several megabytes and unmaps them at once, so that a training
    step spends a third of its time on page faults. Results are unchanged.

    Returns:
        Whether the C library accepted the settings; other libraries than glibc may not have them.

    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)


def return_freed_memory() -> None:
    """Return freed memory to the kernel once, because evaluation needs arrays of other sizes than training."""
    with suppress(OSError, AttributeError):  # not available in other C libraries than glibc
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def permanent_imports(module: str) -> Iterator[None]:
    """Import a module without garbage collection, and exempt from it what exists afterwards.

    Importing torch and Lightning creates a million objects that live until the process ends. Visiting them again and
    again takes a quarter of the processor time of a short run.

    Args:
        module: full name of the module; nothing is done if it has already been imported

    """
    if module in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
