"""What the values of a transform may be."""

import math

from ser_lightning.errors import InputError, nearest
from ser_lightning.features import spectral


def check_counts(**values: int) -> None:
    """Refuse what is to be counted in and is not positive.

    Raises:
        InputError: a number below 1

    """
    for name, value in values.items():
        if value < 1:
            raise InputError(f"features.{name} is {value}; expected a positive whole number")


def check_positive(**values: float) -> None:
    """Refuse what is to be measured in and is not positive.

    Raises:
        InputError: a number that is not above 0, or not finite

    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InputError(f"features.{name} is {value}; expected a positive number")


def check_at_most(limit: str, most: float, /, **values: float) -> None:
    """Refuse values above another one.

    Args:
        limit: the name of the one that is not to be surpassed
        most: its value
        values: those to check

    Raises:
        InputError: one of them surpasses it

    """
    for name, value in values.items():
        if value > most:
            raise InputError(f"features.{name} is {value}; expected at most features.{limit}, {most}")


def check_frames(*, n_fft: int, hop_length: int, window: str) -> None:
    """Refuse frames that cannot be made, or not centred on a sample.

    Raises:
        InputError: a length below 1, an odd length of a frame, an unknown window

    """
    check_counts(n_fft=n_fft, hop_length=hop_length)
    if n_fft % 2:
        raise InputError(f"features.n_fft is {n_fft}; expected an even number")
    try:
        spectral.window_of(window, n_fft)
    except ValueError as error:
        raise InputError(f"features.window is {window!r}; expected a name of scipy.signal.get_window") from error


def check_choice(options: tuple[str, ...], **values: str) -> None:
    """Refuse a word that is none of a few.

    Raises:
        InputError: it is none of them

    """
    for name, value in values.items():
        if value not in options:
            raise InputError(
                f"features.{name} is {value!r}; expected one of {', '.join(options)}{nearest(value, options)}"
            )
