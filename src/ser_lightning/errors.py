"""The exception for user errors, and helpers that build its messages."""

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

FULL_ERROR = "HYDRA_FULL_ERROR"  # environment variable of Hydra: with 1, errors are printed with a traceback
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """Raised if the user's input cannot be used.

    The message is a single line with the offending value and path, what was expected and what to do. The commands print
    it without a traceback and exit with code 1.
    """


def check_value(key: str, value: object, *, valid: bool, expected: str) -> None:
    """Check a value of the config.

    Args:
        key: dotted key
        value: the value
        valid: whether it can be used
        expected: the values that can be used, for the message

    Raises:
        InputError: the value cannot be used

    """
    if not valid:
        raise InputError(f"{key} is {value!r}; expected {expected}")


@contextmanager
def needs_extra(user: str, extra: str) -> Iterator[None]:
    """Raise InputError if an import fails, with the extra of this package to install.

    Args:
        user: option that needs the library, for the message
        extra: name of the extra

    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{user} needs {error.name}, which is not installed; pip install 'ser-lightning[{extra}]'"
        ) from error


def printable(name: str | PurePath) -> str:
    r"""Escape a name so that it is printable and stays on one line.

    Args:
        name: any path, including one with line breaks or invalid UTF-8

    >>> printable("odd\nname.wav")
    'odd\\nname.wav'

    """
    text = name if isinstance(name, str) else name.as_posix()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that suggests the closest valid name; empty if no name is close."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; the nearest valid name is {close[0]!r}" if close else ""


def full_disk(error: BaseException | None) -> OSError | None:
    """Return the OSError about a full disk that is in the chain of an exception, or ``None``."""
    seen: list[BaseException] = []  # the chain of exceptions may contain a cycle
    while error is not None and error not in seen:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def describe_os_error(error: OSError) -> str | None:
    """Return an OSError as one line with a remedy, or ``None`` if neither its path nor its cause is known."""
    where = "" if error.filename is None else f"{printable(str(error.filename))}: "
    if error.errno in NO_SPACE:  # errors of a write call carry no file name
        remedy = "free some space, or write elsewhere (output_root= or --output), and start again"
        return f"{where or 'cannot write: '}{error.strerror}; {remedy}"
    return f"{where}{error.strerror}; check the path and its permissions" if where else None
