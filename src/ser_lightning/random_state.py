"""Seed the global random generators."""

import random
from collections.abc import Sequence

import numpy as np
import torch


def seed_generators(key: Sequence[int], *, device: torch.device) -> None:
    """Seed the global generators of Python, NumPy and torch, so that their numbers depend only on a key.

    Args:
        key: numbers such as the seed of a run, the epoch, the process and the step
        device: device whose generator is seeded too

    """
    words = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed also queues a call, with a stack trace, for each kind of device that is absent: 1 ms a step.
    torch.default_generator.manual_seed(int(words[2]))
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(int(words[2]))
