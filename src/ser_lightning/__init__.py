"""Speech emotion recognition experiments with PyTorch Lightning and Hydra.

Public names are imported on first use, so that importing the package takes milliseconds.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_lightning.api import extract, load, load_corpus
    from ser_lightning.classifier import Classifier, Prediction
    from ser_lightning.report.predictions import read_predictions
    from ser_lightning.report.runs import read_results

# Without this, onnxruntime from version 1.29 on reports its use to Microsoft and leaves a device identifier in the
# cache of the user. It is set before onnxruntime is imported; a value that the user has set is kept.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["Classifier", "Prediction", "extract", "load", "load_corpus", "read_predictions", "read_results"]

MODULES = {  # public name -> its module
    "Classifier": "ser_lightning.classifier",
    "Prediction": "ser_lightning.classifier",
    "extract": "ser_lightning.api",
    "load": "ser_lightning.api",
    "load_corpus": "ser_lightning.api",
    "read_predictions": "ser_lightning.report.predictions",
    "read_results": "ser_lightning.report.runs",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *MODULES])
