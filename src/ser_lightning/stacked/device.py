"""The device of a stack, as the options of a Trainer choose it."""

import os
from collections.abc import Mapping
from typing import Any

import torch

from ser_lightning.stacked.weights import NotStackableError


def device_of(options: Mapping[str, Any]) -> torch.device:
    """Return the device that the options of a Trainer choose.

    Raises:
        NotStackableError: no such device can be used

    """
    if options["accelerator"] == "cpu" or not torch.cuda.is_available():
        if options["accelerator"] in ("gpu", "cuda") or torch.accelerator.is_available():
            raise NotStackableError("stacks need a CUDA device or a CPU, and there is another accelerator")
        return torch.device("cpu")
    return torch.device("cuda", 0)


def make_deterministic(options: Mapping[str, Any]) -> None:
    """Use deterministic algorithms as Lightning's Trainer does."""
    chosen = options["deterministic"]
    if chosen:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True, warn_only=chosen == "warn")
