"""Whether the C kernels or the libraries they are held to compute: ``python -m ser_lightning.kernels.backend``."""

import logging
import os
from functools import cache

from ser_lightning.errors import InputError, nearest
from ser_lightning.kernels.library import library

AUTO, NATIVE = "auto", "native"
# How many times longer the references take for features=logmel and two pitch copies (docs/performance.md).
FEATURES_COST, PITCH_COST = 10, 500

SAID = "SER_LIGHTNING_SAID_NO_KERNELS"  # environment variable: the line below was printed by a parent process

log = logging.getLogger(__name__)


def resolve_backend(backend: str, *, reference: str, key: str) -> str:
    """Return the backend that computes: ``native`` or the reference.

    Args:
        backend: ``native``, the C kernels; ``reference``; or ``auto``: ``native`` where the kernels can be compiled and
            loaded, else the reference
        reference: the library that the kernels are held to
        key: of the config value, for messages

    Raises:
        InputError: an unknown backend; ``native`` where the kernels cannot be used

    """
    options = (AUTO, NATIVE, reference)
    if backend not in options:
        raise InputError(f"{key} is {backend!r}; expected one of {', '.join(options)}{nearest(backend, options)}")
    if backend == NATIVE:
        try:
            library()
        except InputError as error:
            raise InputError(f"{key} is native, but {error}; or set {key}={AUTO}") from error
    if backend != AUTO:
        return backend
    return reference if _missing() is not None else NATIVE


def native_is_available() -> bool:
    """Return whether the kernels can be compiled and loaded here."""
    return _missing() is None


@cache
def _missing() -> str | None:
    """Return why the kernels cannot be used, None if they can; say so once in a command and all its processes."""
    try:
        library()
    except InputError as error:
        if SAID not in os.environ:
            os.environ[SAID] = "1"  # inherited by the processes that this one starts
            log.warning(
                "The C kernels cannot be used (%s). librosa computes the features instead, about %d times slower, and"
                " torchaudio the pitch copies, about %d times slower.",
                error,
                FEATURES_COST,
                PITCH_COST,
            )
        return str(error)
    return None


if __name__ == "__main__":
    print(resolve_backend(AUTO, reference="reference", key="backend"))
