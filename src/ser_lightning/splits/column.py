"""Split given by the corpus itself."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, check_value, printable
from ser_lightning.splits.split import SUBSETS, UNUSED, Split, check_split, require_field


class ColumnSplit:
    """Read the subset of each utterance from the corpus, such as from the column ``split`` of a table.

    Args:
        values: subset of each value of the column, such as ``{"dev": "val"}``; None expects train, val, test or unused
        val: fraction of the training clips drawn for validation, for corpora without a validation set; None draws none
        seed: seed of this draw

    Raises:
        InputError: an unknown subset, or a fraction outside (0, 1)

    """

    def __init__(self, *, values: Mapping[Any, str] | None, val: float | None, seed: int) -> None:
        for value, subset in (values or {}).items():
            known = (*SUBSETS, UNUSED)
            check_value(f"split.values.{value}", subset, valid=subset in known, expected=f"one of {', '.join(known)}")
        valid = val is None or 0 < val < 1
        check_value("split.val", val, valid=valid, expected="a fraction between 0 and 1, or null")
        self.values = {str(value): subset for value, subset in (values or {}).items()}
        self.val, self.seed = val, seed

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Return the split, checked against the corpus.

        Raises:
            InputError: an utterance has no subset or an unknown one, or a subset is empty

        """
        subset_of = {subset: subset for subset in (*SUBSETS, UNUSED)} | self.values
        members: dict[str, list[str]] = {subset: [] for subset in (*SUBSETS, UNUSED)}
        for id_, value in sorted(require_field(utterances, "split", split="column").items()):
            if value not in subset_of:
                raise InputError(
                    f"utterance {printable(id_)} has the split {printable(value)!r}; expected one of"
                    f" {', '.join(subset_of)}; name it by split.values={{{printable(value)}: <subset>}}"
                )
            members[subset_of[value]].append(id_)
        if self.val is not None:
            if members["val"]:
                raise InputError(
                    f"split.val is {self.val}, but the corpus gives {len(members['val'])} validation clips; set"
                    " split.val=null to use them"
                )
            random.Random(self.seed).shuffle(members["train"])
            count = max(1, int(self.val * len(members["train"]) + 1e-6))  # as in RandomSplit, against rounding
            members["val"], members["train"] = members["train"][:count], members["train"][count:]
        split = Split(**{subset: tuple(sorted(ids)) for subset, ids in members.items()})
        return check_split(split, utterances, source="split=column", needed=("train", "test"))
