"""Threads of the libraries with which scikit-learn computes."""

from contextlib import AbstractContextManager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


def limited_threads() -> AbstractContextManager[object]:
    """Limit the libraries that scikit-learn has loaded to as many threads as torch uses, as a context."""
    limit: AbstractContextManager[object] = _controller().limit(limits=torch.get_num_threads())
    return limit


@cache
def _controller() -> ThreadpoolController:
    """Return the controller of the loaded libraries; to find them takes longer than to classify a clip."""
    return ThreadpoolController()
