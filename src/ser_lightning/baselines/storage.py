"""Storage of fitted pipelines in a checkpoint, without pickle."""

import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from ser_lightning.baselines.archive import read_archive
from ser_lightning.baselines.baseline import Baseline, Recipe
from ser_lightning.baselines.clips import FrameMean, FrameScaler
from ser_lightning.baselines.dbn_svm import DeepBeliefNetwork
from ser_lightning.baselines.gmm import GaussianMixtureClassifier
from ser_lightning.baselines.layer_logistic import LayerLogisticRegression
from ser_lightning.baselines.search import GroupSearch
from ser_lightning.baselines.svm import KernelScale, SVCSearch
from ser_lightning.errors import InputError

log = logging.getLogger(__name__)

KEY = "estimator"  # key of the pipeline's bytes in the state_dict of a checkpoint
OURS = (
    *(FrameScaler, FrameMean, GroupSearch, SVCSearch, KernelScale, GaussianMixtureClassifier, DeepBeliefNetwork),
    LayerLogisticRegression,
)
THEIRS = (Pipeline, StandardScaler, FunctionTransformer, SVC, LogisticRegression, GaussianMixture)
CLASSES = {f"{cls.__module__}.{cls.__name__}": cls for cls in (*OURS, *THEIRS)}
# Allowed contents of an archive: pairs of skops loader and the type that it constructs.
ALLOWED = {
    *(("ObjectNode", name) for name in CLASSES),
    *(("NdArrayNode", f"numpy.{name}") for name in ("ndarray", "float64", "float32", "int64", "int32")),
    *((f"{name.title()}Node", f"builtins.{name}") for name in ("dict", "list", "tuple")),
    ("JsonNode", "builtins.str"),
    ("TypeNode", "builtins.str"),
}


def dump_pipeline(pipeline: Pipeline) -> Tensor:
    """Return a pipeline as the bytes of a skops archive; equal pipelines give equal bytes."""
    import skops.io  # takes seconds

    data = skops.io.dumps(pipeline)
    return torch.frombuffer(bytearray(_without_addresses(data)), dtype=torch.uint8)


def _without_addresses(data: bytes) -> bytes:
    """Make an archive reproducible.

    skops names objects by their memory addresses: replace these by consecutive numbers, and drop the time stamps.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        schema = old.read("schema.json").decode()
        # This matches JSON keys only: inside a JSON string the quotes would be escaped.
        pattern = re.compile(r'(?<="__id__": )\d+')
        numbers = {address: str(n) for n, address in enumerate(dict.fromkeys(pattern.findall(schema)))}
        schema = pattern.sub(lambda match: numbers[match[0]], schema)
        schema = re.sub(r'(?<="file": ")(\d+)(?=\.npy")', lambda match: numbers[match[0]], schema)
        for name in old.namelist():
            if name != "schema.json":
                new.writestr(zipfile.ZipInfo(f"{numbers[Path(name).stem]}.npy"), old.read(name))
        new.writestr(zipfile.ZipInfo("schema.json"), schema)
    return packed.getvalue()


def load_baseline(stored: object, recipe: Recipe, *, features: int, classes: int, path: str | Path) -> Baseline:
    """Return the baseline stored in a checkpoint, without executing any code from the checkpoint.

    Args:
        stored: bytes of :func:`dump_pipeline`, from the checkpoint
        recipe: the pipeline described by the config of the checkpoint
        features: number of input features
        classes: number of classes
        path: path of the checkpoint, for error messages

    Raises:
        InputError: the archive is missing or damaged, contains a type that is not part of a baseline, or differs from
            the pipeline described by the config

    """
    # A non-contiguous tensor can expand a single stored byte to a terabyte.
    if not isinstance(stored, Tensor) or stored.dtype != torch.uint8 or not stored.is_contiguous():
        raise InputError(
            f"{path} holds no fitted pipeline, and its config describes one ({type(recipe).__name__}). Use the model it"
            " was trained with, or train it again."
        )
    data = stored.numpy().tobytes()
    try:
        unknown = sorted(set(_types(data)) - ALLOWED)
        if unknown:
            raise InputError(
                f"{path} asks for {unknown[0][1]} ({unknown[0][0]})"
                + (f" and {len(unknown) - 1} more types" if len(unknown) > 1 else "")
                + ", which is no part of a baseline; nothing in it was executed. Use a checkpoint of ser-train."
            )
        with _logged_version_warning(path):
            pipeline = read_archive(data, CLASSES)
        if _description(pipeline) != _description(recipe.pipeline(seed=0)):
            raise InputError(
                f"{path} holds another model than its config describes ({type(recipe).__name__}). Use the model it was"
                " trained with."
            )
        baseline = Baseline(pipeline, classes=classes)
        _check_machine(pipeline[-1].classifier_)
        answer = baseline(torch.zeros(1, 1, features), torch.ones(1, dtype=torch.int64))
        if not torch.isfinite(answer).all():
            raise ValueError("its probabilities are not finite")
    except InputError:
        raise
    except Exception as error:  # damaged bytes can make skops and numpy raise any exception
        reason = (str(error).splitlines() or [repr(error)])[0][:120]
        raise InputError(
            f"{path} is damaged: the fitted pipeline in it cannot be used ({reason}). Train it again."
        ) from error
    return baseline.eval()


@contextmanager
def _logged_version_warning(path: str | Path) -> Iterator[None]:
    """Log one warning if a pipeline was written with another version of scikit-learn.

    scikit-learn itself warns once for each estimator of the pipeline.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        yield
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            versions = warning.message.original_sklearn_version, warning.message.current_sklearn_version
            log.warning("%s was written with scikit-learn %s; with %s its predictions may differ.", path, *versions)
            return


def _types(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the loader and type of each object in an archive, without loading any.

    Raises:
        ValueError: the archive unpacks to more bytes than it has

    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > len(data):
            raise ValueError("it unpacks to more bytes than it has")
        todo = [json.loads(archive.read("schema.json"))]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                yield str(node["__loader__"]), f"{node['__module__']}.{node['__class__']}"
            todo += node.values()
        elif isinstance(node, list):
            todo += node


def _description(value: Any) -> Any:
    """Return the types and parameters of an estimator and its nested estimators, without the random state."""
    if isinstance(value, BaseEstimator):
        parameters = {k: v for k, v in value.get_params(deep=False).items() if k != "random_state"}
        return type(value).__name__, _description(parameters)
    if isinstance(value, dict):
        return {key: _description(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_description(inner) for inner in value]
    return value


def _check_machine(classifier: Any) -> None:
    """Check the shapes and types of the arrays of an SVC, which libsvm reads without checking.

    Raises:
        ValueError: an array has an unexpected shape or type, or the numbers of support vectors are inconsistent

    """
    if not isinstance(classifier, SVC):
        return
    classes, (vectors, size) = len(classifier.classes_), classifier.support_vectors_.shape
    expected = {
        "support_": ((vectors,), np.int32),
        "support_vectors_": ((vectors, size), np.float64),
        "_n_support": ((classes,), np.int32),
        "_dual_coef_": ((classes - 1, vectors), np.float64),
        "_intercept_": ((classes * (classes - 1) // 2,), np.float64),
        "_probA": ((0,), np.float64),
        "_probB": ((0,), np.float64),
    }
    for name, (shape, dtype) in expected.items():
        array = getattr(classifier, name)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{name} has shape {array.shape} and type {array.dtype}, expected {shape}")
    counts = classifier._n_support
    if (counts < 0).any() or counts.sum() != vectors or "_impl" in vars(classifier) or classifier._sparse:
        raise ValueError("the numbers of support vectors do not fit each other")
