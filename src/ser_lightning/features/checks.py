"""Checks of the values of ``features`` in a config."""

import math

from ser_lightning.errors import check_value, suggestion


def check_counts(**values: int) -> None:
    """Check that values are positive.

    Raises:
        InputError: a value is below 1

    """
    for name, value in values.items():
        check_value(f"features.{name}", value, valid=value >= 1, expected="a positive whole number")


def check_positive(**values: float) -> None:
    """Check that values are positive and finite.

    Raises:
        InputError: a value is not above 0 or not finite

    """
    for name, value in values.items():
        check_value(f"features.{name}", value, valid=0 < value < math.inf, expected="a positive number")


def check_at_most(limit: str, most: float, /, **values: float) -> None:
    """Check that values do not exceed a limit.

    Args:
        limit: description of the limit, such as the key that sets it
        most: value of the limit
        values: the values to check, by name

    Raises:
        InputError: a value exceeds the limit

    """
    for name, value in values.items():
        check_value(f"features.{name}", value, valid=value <= most, expected=f"at most {limit}, {most}")


def check_choice(options: tuple[str, ...], **values: str) -> None:
    """Check that values are among the allowed options.

    Raises:
        InputError: a value is not among the options

    """
    for name, value in values.items():
        expected = f"one of {', '.join(options)}{suggestion(value, options)}"
        check_value(f"features.{name}", value, valid=value in options, expected=expected)
