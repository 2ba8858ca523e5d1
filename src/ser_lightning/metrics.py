"""Definitions of the metrics; training, evaluation, result files and report all use :data:`METRICS`.

Metrics are fractions from 0 to 1. A confusion matrix has one row per true class and one column per predicted class. To
add a metric, write its function here and append it to :data:`METRICS`; nothing else needs to change.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]
Counts = NDArray[np.float64]
STUDY_BATCH = 100  # batch size of the study's evaluation


def confusion_matrix(target: NDArray[np.int64], prediction: NDArray[np.int64], num_classes: int) -> Confusion:
    """Count how often each true class was predicted as each class.

    Args:
        target: true class of each utterance, ``(N,)``
        prediction: predicted class of each utterance, ``(N,)``
        num_classes: number of classes C

    Returns:
        ``(C, C)`` counts, true classes in rows, predicted classes in columns

    Raises:
        ValueError: the lengths differ, or a class is not an integer from 0 to C - 1

    >>> confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 3)
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 1, 0]])

    """
    target, prediction = np.asarray(target), np.asarray(prediction)
    if target.ndim != 1 or target.shape != prediction.shape:
        raise ValueError(
            f"Expected target and prediction of one shape (N,) but got {target.shape} and {prediction.shape}."
        )
    for name, values in (("target", target), ("prediction", prediction)):
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"Expected integer classes in {name} but got {values.dtype}.")
        if values.size and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(
                f"Expected classes from 0 to {num_classes - 1} in {name} but got {values.min()} to {values.max()}."
            )
    # Cast first, because the product would overflow in a narrow dtype.
    pair = target.astype(np.int64) * num_classes + prediction.astype(np.int64)
    return np.bincount(pair, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def accuracy(confusion: Confusion) -> float:
    """Compute the fraction of utterances that are predicted correctly.

    Args:
        confusion: ``(C, C)`` counts, true classes in rows

    Raises:
        ValueError: the matrix is not square or is all zero

    >>> accuracy(np.array([[3, 1], [0, 0]]))
    0.75

    """
    confusion = _counts(confusion)
    return float(confusion.trace() / confusion.sum())


def recall_per_class(confusion: Confusion) -> NDArray[np.float64]:
    """Compute the recall of each class; NaN for classes without utterances.

    Args:
        confusion: ``(C, C)`` counts, true classes in rows

    Raises:
        ValueError: the matrix is not square or is all zero

    >>> recall_per_class(np.array([[3, 1], [0, 0]]))
    array([0.75,  nan])

    """
    confusion = _counts(confusion)
    true = confusion.sum(axis=1)
    recall = np.full(len(true), np.nan)
    np.divide(confusion.diagonal(), true, out=recall, where=true > 0)
    return recall


def uar(confusion: Confusion) -> float:
    """Compute the unweighted average recall: the mean recall of the classes that have utterances.

    Args:
        confusion: ``(C, C)`` counts, true classes in rows

    Raises:
        ValueError: the matrix is not square or is all zero

    >>> uar(np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]]))
    0.625

    """
    return float(np.nanmean(recall_per_class(confusion)))


def macro_f1(confusion: Confusion) -> float:
    """Compute the mean F1 score of the classes that occur among the targets or the predictions.

    Args:
        confusion: ``(C, C)`` counts, true classes in rows

    Raises:
        ValueError: the matrix is not square or is all zero

    >>> macro_f1(np.array([[2, 0, 0], [1, 1, 0], [0, 0, 0]]))  # (4/5 + 2/3) / 2
    0.7333333333333334

    """
    confusion = _counts(confusion)
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)  # 2 TP + FP + FN
    present = occurrences > 0
    return float(np.mean(2 * confusion.diagonal()[present] / occurrences[present]))


def _counts(confusion: Confusion) -> Confusion:
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"Expected a square confusion matrix but got the shape {confusion.shape}.")
    if confusion.sum() == 0:
        raise ValueError("Expected a confusion matrix of at least one utterance but it counts none.")
    return confusion


def accuracy_sums(confusion: Counts) -> Counts:
    """Return the number of correct and of all utterances: (..., C, C) -> (..., 2, 1)."""
    correct = np.trace(confusion, axis1=-2, axis2=-1)
    return np.stack([correct, confusion.sum(axis=(-2, -1))], axis=-1)[..., None]


def uar_sums(confusion: Counts) -> Counts:
    """Return the number of correct and of all utterances of each true class: (..., C, C) -> (..., 2, C)."""
    return np.stack([np.einsum("...ii->...i", confusion), confusion.sum(axis=-1)], axis=-2)


def macro_f1_sums(confusion: Counts) -> Counts:
    """Return numerators and denominators of the F1 score of each class: (..., C, C) -> (..., 2, C)."""
    occurrences = (confusion.sum(axis=-1) + confusion.sum(axis=-2)) / 2  # TP + (FP + FN) / 2
    return np.stack([np.einsum("...ii->...i", confusion), occurrences], axis=-2)


def mean_ratio(sums: Counts) -> NDArray[np.float64]:
    """Return the mean over K of the ratios of (..., 2, K) numerators and denominators, ignoring empty classes."""
    numerator, denominator = sums[..., 0, :], sums[..., 1, :]
    present = denominator > 0
    ratios = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=present)
    mean: Counts = ratios.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)
    return mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric computed from a confusion matrix.

    Args:
        name: key in result files, and in logs after the subset (``val/uar``)
        title: name in tables
        compute: maps a confusion matrix (C, C) to the metric
        sums: maps confusion matrices (..., C, C) to numerators and denominators (..., 2, K) that add up over speakers
            and whose :func:`mean_ratio` is the metric. The report needs it for intervals over speakers; ``None`` if the
            metric has no such form.

    """

    name: str
    title: str
    compute: Callable[[Confusion], float]
    sums: Callable[[Counts], Counts] | None


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="accuracy", title="accuracy", compute=accuracy, sums=accuracy_sums),
        Metric(name="uar", title="UAR", compute=uar, sums=uar_sums),
        Metric(name="macro_f1", title="macro F1", compute=macro_f1, sums=macro_f1_sums),
    )
}


def compute_metrics(confusion: Confusion) -> dict[str, float]:
    """Compute all metrics of a confusion matrix, by name.

    >>> compute_metrics(np.array([[3, 1], [0, 0]]))["accuracy"]
    0.75

    """
    return {name: metric.compute(confusion) for name, metric in METRICS.items()}


def study_metric(confusion: Confusion) -> float:
    """Compute the study's own metric: correct clips divided by the number of batches of 100, the last one smaller.

    This is not an accuracy: with 360 clips in 4 batches, the maximum is 90.

    >>> study_metric(np.array([[234, 0], [126, 0]]))
    58.5

    Source: released code, ``get_accuracy``.
    """
    return float(confusion.trace()) / math.ceil(int(confusion.sum()) / STUDY_BATCH)
