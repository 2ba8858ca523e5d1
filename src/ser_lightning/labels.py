"""Emotion labels and their order; class indices are defined only here."""

from collections.abc import Iterable

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised", "bored")
"""The common vocabulary, to which the published corpora map their codes."""

RAVDESS = EMOTIONS[:8]
"""The eight emotions of RAVDESS; index = RAVDESS code - 1 (Livingstone & Russo 2018)."""


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the unique labels: those of :data:`EMOTIONS` in its order, then others in alphabetical order.

    >>> in_order(["tired", "bored", "sad", "amused", "sad"])
    ('sad', 'bored', 'amused', 'tired')
    """
    labels = set(labels)
    return (*(label for label in EMOTIONS if label in labels), *sorted(labels.difference(EMOTIONS)))
