"""Seed the global random generators."""

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch


def torch_seed(key: Sequence[int]) -> int:
    """Return the number that :func:`seed_generators` seeds the generator of torch with."""
    return int(_words(key)[2])


def _words(key: Sequence[int]) -> npt.NDArray[np.integer]:
    return np.random.SeedSequence(key).generate_state(3)


def seed_generators(key: Sequence[int], *, device: torch.device) -> None:
    """Seed the global generators of Python, NumPy and torch, so that their numbers depend only on a key.

    Args:
        key: numbers such as the seed of a run, the epoch, the process and the step
        device: device whose generator is seeded too

    """
    words = _words(key)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    # torch.manual_seed also queues a call, with a stack trace, for each kind of device that is absent: 1 ms a step.
    torch.default_generator.manual_seed(int(words[2]))
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(int(words[2]))
