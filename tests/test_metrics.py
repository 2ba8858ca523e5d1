import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as reference

from ser_lightning.metrics import accuracy, confusion_matrix, macro_f1, recall_per_class, study_metric, uar

CLASSES = 8
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


@settings(deadline=None)  # the first call pays for imports
@given(pairs)
def test_metrics_match_sklearn(drawn: list[tuple[int, int]]) -> None:
    target, prediction = np.array(drawn).T
    confusion = confusion_matrix(target, prediction, CLASSES)

    assert_array_equal(confusion, reference.confusion_matrix(target, prediction, labels=np.arange(CLASSES)))
    assert accuracy(confusion) == pytest.approx(reference.accuracy_score(target, prediction))
    assert macro_f1(confusion) == pytest.approx(
        reference.f1_score(target, prediction, average="macro", zero_division=0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about predicted classes without targets
        assert uar(confusion) == pytest.approx(reference.balanced_accuracy_score(target, prediction))
    recall = reference.recall_score(target, prediction, labels=np.arange(CLASSES), average=None, zero_division=np.nan)
    assert_allclose(recall_per_class(confusion), recall)


def test_metrics_match_hand_computed_values() -> None:
    confusion = np.array([[4, 1, 0, 0], [2, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])

    assert accuracy(confusion) == pytest.approx(6 / 10)
    assert_allclose(recall_per_class(confusion), [4 / 5, 2 / 4, 0, math.nan])
    assert uar(confusion) == pytest.approx((4 / 5 + 2 / 4 + 0) / 3)
    assert macro_f1(confusion) == pytest.approx((8 / 11 + 4 / 8 + 0) / 3)  # the fourth class never occurs


@pytest.mark.parametrize("batch_size", [1, 7, 19, 20, 100])
def test_summed_confusion_matrices_match_sklearn(batch_size: int) -> None:
    generator = np.random.default_rng(0)
    target, prediction = generator.choice([0, 2, 5], 20), generator.integers(0, CLASSES, 20)  # five classes are absent
    starts = range(batch_size, 20, batch_size)
    parts = zip(np.split(target, starts), np.split(prediction, starts), strict=True)
    confusion = sum(confusion_matrix(t, p, CLASSES) for t, p in parts)

    assert_array_equal(confusion, reference.confusion_matrix(target, prediction, labels=np.arange(CLASSES)))
    assert uar(confusion) == pytest.approx(
        reference.recall_score(target, prediction, labels=[0, 2, 5], average="macro", zero_division=0)
    )


def test_metrics_are_not_averaged_over_batches() -> None:
    """The study averaged over batches: here a batch of three correct clips and a batch of one wrong clip."""
    first, last = np.array([[3, 0], [0, 0]]), np.array([[0, 0], [1, 0]])

    assert accuracy(first + last) == 3 / 4 != (accuracy(first) + accuracy(last)) / 2
    assert uar(first + last) == 1 / 2
    assert macro_f1(first + last) == pytest.approx((6 / 7 + 0) / 2)


def test_class_without_targets_counts_in_f1_but_not_in_uar() -> None:
    confusion = confusion_matrix(np.array([0, 0]), np.array([0, 1]), 2)

    assert uar(confusion) == 0.5
    assert macro_f1(confusion) == pytest.approx((2 / 3 + 0) / 2)


def test_uar_of_constant_prediction_is_chance_level() -> None:
    target = np.array([0] * 97 + [1, 2, 3])

    assert uar(confusion_matrix(target, np.zeros(100, np.int64), 4)) == 0.25


def test_confusion_matrix_of_int8_does_not_overflow() -> None:
    target = np.full(3, 100, np.int8)

    assert confusion_matrix(target, target, 101)[100, 100] == 3


@pytest.mark.parametrize("metric", [accuracy, recall_per_class, uar, macro_f1])
def test_empty_or_nonsquare_matrix_raises(metric) -> None:
    with pytest.raises(ValueError, match="it counts none"):
        metric(confusion_matrix(np.array([], np.int64), np.array([], np.int64), 3))
    with pytest.raises(ValueError, match=r"square confusion matrix but got the shape \(2, 3\)"):
        metric(np.ones((2, 3), np.int64))


@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        ([0, 1], [0], r"one shape \(N,\) but got \(2,\) and \(1,\)"),
        ([[0]], [[0]], "one shape"),
        ([0, 3], [0, 0], "from 0 to 2 in target but got 0 to 3"),
        ([0, 1], [-1, 0], "in prediction but got -1 to 0"),
        ([0.5], [0], "integer classes in target but got float64"),
    ],
)
def test_confusion_matrix_with_invalid_labels_raises(target, prediction, message) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(target), np.array(prediction), 3)


@pytest.mark.parametrize(
    ("correct", "clips", "published"),
    [(234, 360, 58.5), (231, 360, 57.75), (145, 216, 48.33), (141, 216, 47.0), (3278, 3456, 93.66), (360, 360, 90.0)],
)
def test_study_metric_matches_published_values(correct: int, clips: int, published: float) -> None:
    assert study_metric(np.array([[correct, 0], [clips - correct, 0]])) == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(("clips", "batches"), [(1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_study_metric_counts_last_batch_as_full(clips: int, batches: int) -> None:
    assert study_metric(np.array([[clips]])) == clips / batches
