"""Checks of the values of ``model`` in a config."""

from collections.abc import Mapping, Sequence


def check_sizes(sizes: Mapping[str, int | Sequence[int]]) -> None:
    """Check the sizes of a network, given by their names in its config.

    Raises:
        ValueError: a size is below 1, or a list of sizes is empty

    """
    for name, value in sizes.items():
        values = [value] if isinstance(value, int) else list(value)
        if not values or min(values) < 1:
            raise ValueError(f"model.{name} is {value!r}; expected whole numbers of at least 1")


def check_probabilities(probabilities: Mapping[str, float]) -> None:
    """Check the dropout probabilities of a network, given by their names in its config.

    Raises:
        ValueError: a probability is outside [0, 1)

    """
    for name, p in probabilities.items():
        if not 0 <= p < 1:
            raise ValueError(f"model.{name} is {p}; expected a probability of at least 0 and less than 1")
