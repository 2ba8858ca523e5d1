"""Label sets in the order of their class indices; class indices are defined only here."""

from collections.abc import Iterable

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised", "bored")
"""Labels of all corpora. The module of each corpus maps the codes of the corpus to these labels."""

RAVDESS = EMOTIONS[:8]
"""The eight emotions of RAVDESS; index = RAVDESS code - 1 (Livingstone & Russo 2018)."""

EMODB = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "bored")
"""The seven emotions of EmoDB (Burkhardt et al. 2005)."""

EMOVO = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The seven emotions of EMOVO (Costantini et al. 2014)."""

CREMA_D = ("neutral", "happy", "sad", "angry", "fearful", "disgust")
"""The six emotions of CREMA-D (Cao et al. 2014)."""

SAVEE = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The seven emotions of SAVEE (Haq & Jackson 2009)."""

TESS = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The seven emotions of TESS (Pichora-Fuller & Dupuis 2020)."""


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the unique labels in the order of :data:`EMOTIONS`.

    >>> in_order([*EMODB, *EMOVO]) == ("neutral", *RAVDESS[2:], "bored")
    True
    """
    return tuple(sorted(set(labels), key=EMOTIONS.index))
