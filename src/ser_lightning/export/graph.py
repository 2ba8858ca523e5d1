"""The graph of a checkpoint: one clip in, logits and probabilities out."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, cast

import torch
from torch import Tensor, nn

from ser_lightning.baselines.baseline import Baseline
from ser_lightning.errors import InputError
from ser_lightning.export.classical import PipelineGraph
from ser_lightning.export.spectra import size_of
from ser_lightning.predict.onnx_scorer import FEATURES, LOGITS, PROBABILITIES, WAVEFORM

OPSET = 20  # the first with the operators DFT and GELU that the features need, and the last of this exporter
EXAMPLE_SECONDS, EXAMPLE_FRAMES = 1.3, 61  # size of the example clip; every other size is a variable


class OneClip(nn.Module):
    """A model with its features, for a batch of one clip.

    Args:
        model: maps features (1, K, F) and lengths (1,) to logits
        front_end: maps a wave (samples,) to features (K, F); None if the features are the input
        temperature: divides the logits before the softmax

    """

    def __init__(self, model: nn.Module, front_end: nn.Module | None, *, temperature: float) -> None:
        super().__init__()
        self.model = PipelineGraph(model) if isinstance(model, Baseline) else model
        self.front_end = front_end
        self.temperature = temperature

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the probabilities, (1, classes) each, of a clip (1, samples) or (1, K, F)."""
        features = clip if self.front_end is None else self.front_end(clip[0])[None]
        logits = self.model(features, size_of(features, 1))
        return logits, (logits.double() / self.temperature).softmax(1).float()


def trace(clip_model: OneClip, *, rate: int, features: int) -> bytes:
    """Return the ONNX model of a module whose clips have any length.

    Args:
        clip_model: the module
        rate: sampling rate of a waveform, Hz
        features: number of features

    Raises:
        InputError: an operation of the model has no form in ONNX

    """
    waveform = clip_model.front_end is not None
    name = WAVEFORM if waveform else FEATURES
    generator = torch.Generator().manual_seed(0)
    shape = (1, round(EXAMPLE_SECONDS * rate)) if waveform else (1, EXAMPLE_FRAMES, features)
    content = BytesIO()
    arguments: dict[str, Any] = {
        "input_names": [name],
        "output_names": [LOGITS, PROBABILITIES],
        "dynamic_axes": {name: {1: "samples" if waveform else "frames"}},
        "opset_version": OPSET,
    }
    example = torch.randn(shape, generator=generator) * 0.1
    with torch.no_grad():
        clip_model.eval()(example)  # an error of the network itself is no limit of ONNX
    try:
        with only_errors(), torch.no_grad():  # the exporter is deprecated, and warns of every branch that it records
            torch.onnx.export(clip_model, (example,), cast(Any, content), dynamo=False, **arguments)
    except RuntimeError as error:  # also the exporter's own errors and NotImplementedError
        reason = (str(error).strip().splitlines() or [repr(error)])[0][:200]
        raise InputError(
            f"the model {type(clip_model.model).__name__} cannot be exported: {reason}. docs/onnx.md lists what can be."
        ) from error
    return content.getvalue()


@contextmanager
def only_errors() -> Iterator[None]:
    """Ignore warnings, and log records below errors."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
