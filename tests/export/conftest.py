"""Shared by the tests of ONNX files: graphs of untrained models, and sounds of several lengths."""

import numpy as np
import onnxruntime
import torch

from ser_lightning.export.graph import OneClip, trace

LENGTHS = (1, 100, 700, 4000, 16000, 40001)  # samples; the first ones are shorter than a frame
FRAMES = (1, 2, 7, 30, 61, 200, 513)
# Prediction without torch: importing it raises ImportError.
WITHOUT_TORCH = """
import sys
for name in ("torch", "torchaudio", "pytorch_lightning", "sklearn", "librosa", "transformers", "onnx", "skops"):
    sys.modules[name] = None
from ser_lightning.cli.predict import main
main(sys.argv[1:])
"""


def sounds(count: int, *, seed: int) -> np.ndarray:
    """Return a voice with a gliding pitch and noise, (samples,)."""
    time = np.arange(count) / 16000
    voice = sum(np.sin(2 * np.pi * k * (140 * time + 20 * np.sin(3 * time + seed))) / k for k in range(1, 12))
    noise = 0.01 * np.random.default_rng(seed).standard_normal(count)
    return (0.1 * voice + noise).astype(np.float32)


def run_graph(model: torch.nn.Module, front_end: torch.nn.Module | None, *, rate: int, features: int):
    """Return a function of a clip that computes the logits of an exported model."""
    content = trace(OneClip(model, front_end, temperature=1.0), rate=rate, features=features)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda clip: session.run(["logits"], {name: clip[None]})[0]
