"""Merge emotion labels into other labels, as configured by ``corpus.merge``."""

from collections.abc import Mapping
from dataclasses import replace

from ser_lightning.corpora.utterance import Problem, Scan
from ser_lightning.errors import InputError, suggestion
from ser_lightning.labels import EMOTIONS, in_order


def merged(labels: tuple[str, ...], merge: Mapping[str, str | None] | None) -> tuple[str, ...]:
    """Return the labels that remain after the merge, in the order of the common vocabulary.

    Args:
        labels: labels of the corpus
        merge: the replacement of each label to merge, or None to leave it out; None merges nothing

    Raises:
        InputError: the corpus lacks a label, or a replacement is not an emotion or is merged itself

    >>> merged(("neutral", "calm", "happy"), {"calm": "neutral"})
    ('neutral', 'happy')
    """
    if merge is None:
        return labels
    if not isinstance(merge, Mapping) or not merge:
        raise InputError(
            f"corpus.merge is {merge!r}; expected labels and their replacements, such as {{calm: neutral}}"
        )
    for label, word in merge.items():
        if label not in labels:
            known = f"the corpus has {', '.join(labels)}{suggestion(str(label), labels)}"
            raise InputError(f"corpus.merge names {label!r}; {known}")
        allowed = [each for each in in_order({*EMOTIONS, *labels}) if each not in merge]
        if word is not None and word not in allowed:
            raise InputError(f"corpus.merge replaces {label} by {word!r}; expected one of {', '.join(allowed)}")
    return in_order(word for label in labels if (word := merge.get(label, label)) is not None)


def relabel(scan: Scan, merge: Mapping[str, str | None] | None) -> Scan:
    """Return the scan with every merged label replaced, and without those to leave out."""
    if merge is None:
        return scan
    pairs = [(utterance, merge.get(utterance.emotion, utterance.emotion)) for utterance in scan.utterances]
    utterances = tuple(replace(utterance, emotion=word) for utterance, word in pairs if word is not None)
    note = Problem(path=f"{len(pairs) - len(utterances)} recordings", reason="left out by corpus.merge")
    left_out = () if len(utterances) == len(pairs) else (note,)
    return Scan(utterances=utterances, problems=(*left_out, *scan.problems))
