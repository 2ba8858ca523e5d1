"""Random numbers of a clip."""

import hashlib

import numpy as np


def generator_of(utterance: str, *, seed: int) -> np.random.Generator:
    """Return a generator of random numbers that depends on an utterance and a seed, on no other clip and no order.

    Args:
        utterance: id of the utterance
        seed: of all clips

    """
    digest = hashlib.sha256(f"{seed}/{utterance}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
