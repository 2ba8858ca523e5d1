"""The ONNX file that answers for a checkpoint, so that commands start without importing torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ser_lightning.errors import InputError
from ser_lightning.file_digest import file_digest
from ser_lightning.predict.defaults import DEFAULT_MODEL, ONNX_SUFFIX, ONNX_TOLERANCE

if TYPE_CHECKING:
    from ser_lightning.predict.onnx_scorer import OnnxMetadata  # imports numpy


def exported_path(checkpoint: Path) -> Path:
    """Return where ser-export writes a checkpoint by default: beside it; the default model, into the user's cache."""
    folder = checkpoint.parent
    if checkpoint == DEFAULT_MODEL:  # the folder of an installed package is often read-only
        folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ser-lightning")  # noqa: PTH111 - Path fails without a home
    return folder / f"{checkpoint.stem}{ONNX_SUFFIX}"


def check_answers_for(checkpoint: Path, path: Path, metadata: "OnnxMetadata") -> None:
    """Check that an ONNX file gives the answers of a checkpoint.

    Args:
        checkpoint: the checkpoint
        path: the ONNX file
        metadata: the metadata in it

    Raises:
        InputError: the file was exported from another checkpoint, or its answers may differ

    """
    if metadata.checkpoint_sha256 != file_digest(checkpoint):
        raise InputError(f"{path} is of another checkpoint than {checkpoint}; export the checkpoint again")
    if metadata.tolerance is None or metadata.tolerance > ONNX_TOLERANCE:
        raise InputError(
            f"{path} was exported with --int8 or a larger --tolerance, so its answers may differ from {checkpoint};"
            " export the checkpoint again, or give the file itself as --model"
        )
