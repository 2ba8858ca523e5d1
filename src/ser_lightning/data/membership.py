"""Rows of each subset: clips and their augmented copies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.split import SUBSETS, UNUSED, Split

Key = tuple[str, str]  # utterance id and name of the copy; "" is the original clip
Members = Mapping[str, Sequence[Key]]  # rows of each subset


def copies_with_their_clips(split: Split, copies: Callable[[str], Sequence[str]]) -> Members:
    """Return the rows of each subset, with all copies of a clip in the subset of that clip.

    Args:
        split: split of the clips
        copies: returns the names of the copies of each clip, given the subset

    """
    return {subset: [(id_, copy) for id_ in getattr(split, subset) for copy in copies(subset)] for subset in SUBSETS}


def check_split_of_copies(strategy: object, copies: Sequence[str]) -> None:
    """Check that ``augment_first`` is possible with a split and an augmentation.

    Args:
        strategy: the split
        copies: names of the augmented copies

    Raises:
        InputError: the split does not draw clips one by one, or there are no copies

    """
    if not getattr(strategy, "draws_clips", False):
        raise InputError(
            f"data.augment_first is true, but {type(strategy).__name__} does not draw clips one by one, so that copies"
            " could not fall apart; use split=random, or data.augment_first=false"
        )
    if not copies:
        raise InputError(
            "data.augment_first is true, but the augmentation makes no copies; use another augment, such as"
            " augment=paper, or data.augment_first=false"
        )


def split_copies_as_clips(
    utterances: Sequence[Utterance], strategy: Callable[[Sequence[Utterance]], Split], copies: Sequence[str]
) -> tuple[Split, Members]:
    """Split a corpus after augmentation, treating every augmented copy as a clip, as some studies do.

    This leaks: copies of one clip are assigned to different subsets.

    Args:
        utterances: the corpus
        strategy: the split, which must draw clips one by one
        copies: names of the copies of each clip, the original clip first

    Returns:
        The split of the original clips, and the rows of each subset, sorted by utterance id.

    Raises:
        InputError: raised by the strategy, for example if the corpus is too small

    """
    key_of = {f"{u.id}\t{copy}": (u.id, copy) for u in utterances for copy in copies}
    drawn = strategy([replace(u, id=f"{u.id}\t{copy}") for u in utterances for copy in copies])
    order = {copy: number for number, copy in enumerate(copies)}
    rows = {
        subset: sorted((key_of[name] for name in getattr(drawn, subset)), key=lambda key: (key[0], order[key[1]]))
        for subset in (*SUBSETS, UNUSED)
    }
    clips = {subset: tuple(id_ for id_, copy in keys if copy == copies[0]) for subset, keys in rows.items()}
    return Split(**clips), {subset: rows[subset] for subset in SUBSETS}
