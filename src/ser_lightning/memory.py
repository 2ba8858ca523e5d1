"""How the C library hands out memory."""

import ctypes
from contextlib import suppress

# Numbers of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of big arrays instead of asking the kernel for new pages each time.

    glibc gives every array of megabytes pages of its own and returns them at once; a training step then spends a third
    of its time on page faults. Changes no result.

    Returns:
        Whether the C library took it; others than glibc need not.

    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)


def return_freed_memory() -> None:
    """Return what was freed to the kernel, once: what comes next needs arrays of other sizes, and would add to it."""
    with suppress(OSError, AttributeError):  # another C library has its own ways
        ctypes.CDLL(None).malloc_trim(0)
