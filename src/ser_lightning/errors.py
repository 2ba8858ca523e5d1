"""The one exception whose message is meant for the user, and what its words are made of."""

import difflib
import errno
from collections.abc import Iterable
from pathlib import PurePath

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what came, what was expected and what to do, with the path. The commands
    print it without a traceback and exit with 1.
    """


def shown(name: str | PurePath) -> str:
    r"""Give a name in a form that stays on one line and can always be printed.

    Args:
        name: any path, also one with line breaks or with bytes that are no UTF-8

    >>> shown("odd\nname.wav")
    'odd\\nname.wav'

    """
    text = name if isinstance(name, str) else name.as_posix()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that tells which valid name is nearest to one that is not valid; empty if none."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; the nearest valid name is {close[0]!r}" if close else ""


def full_disk(error: BaseException | None) -> OSError | None:
    """Return the error by which the system refused to write for want of space, if an error is one or comes from one."""
    seen: list[BaseException] = []  # a chain of errors may be a circle
    while error is not None and error not in seen:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None
