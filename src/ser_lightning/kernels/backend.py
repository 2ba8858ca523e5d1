"""Choose between the C kernels and their reference libraries: ``python -m ser_lightning.kernels.backend``."""

import logging
import os
from functools import cache

from ser_lightning.errors import InputError, suggestion
from ser_lightning.kernels.library import library

AUTO, NATIVE = "auto", "native"
# Slowdown of the references for features=logmel and for two pitch copies (docs/performance.md).
FEATURES_COST, PITCH_COST = 10, 500

WARNED = "SER_LIGHTNING_WARNED_OF_KERNELS"  # environment variable, set once the warning below is logged

log = logging.getLogger(__name__)


def resolve_backend(backend: str, *, reference: str, key: str) -> str:
    """Return the backend to use: ``native`` or the reference.

    Args:
        backend: ``native`` for the C kernels, the name of the reference, or ``auto`` for ``native`` where the kernels
            can be compiled and loaded, otherwise the reference
        reference: name of the library that the kernels reproduce
        key: config key of the backend, for messages

    Raises:
        InputError: the backend is unknown, or it is ``native`` and the kernels cannot be used

    """
    options = (AUTO, NATIVE, reference)
    if backend not in options:
        raise InputError(f"{key} is {backend!r}; expected one of {', '.join(options)}{suggestion(backend, options)}")
    if backend == NATIVE:
        try:
            library()
        except InputError as error:
            raise InputError(f"{key} is native, but {error}; or set {key}={AUTO}") from error
    if backend != AUTO:
        return backend
    return reference if _unavailable_reason() is not None else NATIVE


def native_is_available() -> bool:
    """Return whether the kernels can be compiled and loaded here."""
    return _unavailable_reason() is None


@cache
def _unavailable_reason() -> str | None:
    """Return why the kernels cannot be used, or None; warn once per command, including its subprocesses."""
    try:
        library()
    except InputError as error:
        if WARNED not in os.environ:
            os.environ[WARNED] = "1"  # inherited by subprocesses
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
