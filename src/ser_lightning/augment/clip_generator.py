"""Reproducible random numbers per clip."""

import hashlib

import numpy as np


def clip_generator(utterance: str, *, seed: int) -> np.random.Generator:
    """Return a random generator that depends only on the utterance and the seed, not on other clips or their order.

    Args:
        utterance: id of the utterance
        seed: seed shared by all clips

    """
    digest = hashlib.sha256(f"{seed}/{utterance}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
