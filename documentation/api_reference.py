"""Reference page of the Python API, and the check that every public name of it is documented."""

import inspect
from importlib import import_module
from typing import Any

import ser_lightning as ser
from documentation.config_reference import arguments, class_arguments

# Classes that are not names of the package itself, but that its documented ways of use need.
EXTENSION = (
    "ser_lightning.errors.InputError",
    "ser_lightning.predict.segment.SegmentPrediction",
    "ser_lightning.corpora.utterance.Utterance",
    "ser_lightning.corpora.definition.Definition",
    "ser_lightning.splits.split.Split",
    "ser_lightning.features.extractor.FeatureExtractor",
    "ser_lightning.features.extractor.FrameExtractor",
    "ser_lightning.data.batch.Batch",
    "ser_lightning.data.datamodule.SpeechDataModule",
    "ser_lightning.task.EmotionTask",
)
INTRODUCTION = """# Python API

`import ser_lightning as ser` offers the names of the first part. [Python](python.md) shows them at work, in a session
that the tests run.
"""
EXTENDING = """## To extend and to embed

These classes are imported from their modules. [Your own code](own_code.md) and [Trainer](trainer.md) show how.
"""


def public_names() -> list[str]:
    """Return the full names of all objects on the page.

    >>> public_names()[0]
    'ser_lightning.classifier.Classifier'
    """
    return [*(f"{ser.MODULES[name]}.{name}" for name in ser.__all__), *EXTENSION]


def api_page() -> str:
    """Return the page; the site generator replaces each line that starts with ``:::`` by the docstring."""
    own = "\n\n".join(f"::: {name}" for name in public_names()[: len(ser.__all__)])
    others = "\n\n".join(f"::: {name}" for name in EXTENSION)
    return f"{INTRODUCTION}\n## Of the package\n\n{own}\n\n{EXTENDING}\n{others}\n"


def undocumented() -> list[str]:
    """Return the public names, members and parameters that have no documentation."""
    missing: list[str] = []
    for name in public_names():
        module, _, last = name.rpartition(".")
        missing += _undocumented(name, getattr(import_module(module), last))
    return missing


def _undocumented(name: str, value: Any) -> list[str]:
    if not (documentation := inspect.getdoc(value)):
        return [f"{name}: no docstring"]
    explained = class_arguments(value) if inspect.isclass(value) else arguments(documentation)
    missing = [f"{name}: no entry {key!r} in Args" for key in _parameters(value) if explained and key not in explained]
    if inspect.isclass(value) and value.__module__.startswith("ser_lightning."):
        for key, member in vars(value).items():
            if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                missing += _undocumented(f"{name}.{key}", member)
    return missing


def _parameters(value: Any) -> list[str]:
    if isinstance(value, property):
        return []
    if inspect.isclass(value) and issubclass(value, Exception):
        return []
    return [key for key in inspect.signature(value).parameters if key not in ("self", "cls")]
