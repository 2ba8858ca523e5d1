"""Checks of the parameters of feature transforms."""

import math

from ser_lightning.errors import InputError, suggestion
from ser_lightning.features import spectral


def check_counts(**values: int) -> None:
    """Check that counts are positive.

    Raises:
        InputError: a value is below 1

    """
    for name, value in values.items():
        if value < 1:
            raise InputError(f"features.{name} is {value}; expected a positive whole number")


def check_positive(**values: float) -> None:
    """Check that quantities are positive.

    Raises:
        InputError: a value is not above 0 or not finite

    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InputError(f"features.{name} is {value}; expected a positive number")


def check_at_most(limit: str, most: float, /, **values: float) -> None:
    """Check that values do not exceed a limit.

    Args:
        limit: name of the parameter that is the limit
        most: value of the limit
        values: the values to check, by name

    Raises:
        InputError: a value exceeds the limit

    """
    for name, value in values.items():
        if value > most:
            raise InputError(f"features.{name} is {value}; expected at most features.{limit}, {most}")


def check_frames(*, n_fft: int, hop_length: int, window: str) -> None:
    """Check the parameters of frames; an even length allows frames to be centered on a sample.

    Raises:
        InputError: a length is below 1, ``n_fft`` is odd, or the window is unknown

    """
    check_counts(n_fft=n_fft, hop_length=hop_length)
    if n_fft % 2:
        raise InputError(f"features.n_fft is {n_fft}; expected an even number")
    try:
        spectral.periodic_window(window, n_fft)
    except ValueError as error:
        raise InputError(f"features.window is {window!r}; expected a name of scipy.signal.get_window") from error


def check_choice(options: tuple[str, ...], **values: str) -> None:
    """Check that values are among the allowed options.

    Raises:
        InputError: a value is not among the options

    """
    for name, value in values.items():
        if value not in options:
            raise InputError(
                f"features.{name} is {value!r}; expected one of {', '.join(options)}{suggestion(value, options)}"
            )
