"""The mode in which the operations of a forward pass are recorded for export to ONNX.

Export records the operations on one example clip. Its length must stay a variable: it may not become a Python int, and
operations without a counterpart in ONNX are replaced. The batch is one clip without padding.
"""

from typing import cast

import torch
from torch import Tensor


def is_exporting() -> bool:
    """Return whether the current operations are recorded for ONNX, with one clip without padding."""
    return bool(torch.jit._trace.is_tracing())  # type: ignore[no-untyped-call]


def as_size(number: Tensor) -> int:
    """Return a scalar as a size; in export it stays a variable, which torch accepts in place of an int."""
    return cast(int, number) if is_exporting() else int(number)


def largest(lengths: Tensor) -> int:
    """Return the largest length (B,) as a number; in export it stays a variable."""
    return as_size(lengths.max())
