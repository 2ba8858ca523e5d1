"""Parse the fields of a row of text, such as a row of a table."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from ser_lightning.errors import InputError, printable
from ser_lightning.labels import EMOTIONS

TEXTS = ("speaker", "gender", "statement", "intensity", "language", "split")
NUMBERS = ("start", "end", "age")
INTEGERS = ("take", "channel")
FIELDS = ("id", "path", "emotion", *TEXTS, *NUMBERS, *INTEGERS)
NO_LABEL = "corpus.labels maps their label to null"
TIE = "the raters' labels tie (corpus.ties=first keeps the first)"

Ties = Literal["drop", "first"]
Decimal = Literal["point", "comma"]


class LeftOutError(Exception):
    """The row is to be left out, for the reason in the message."""


@dataclass(frozen=True, kw_only=True)
class RowParser:
    """Parser of the fields of an utterance.

    Args:
        folder: folder that paths are relative to
        labels: replacement of each label, see :class:`~ser_lightning.corpora.rows.RowCorpus`
        genders: replacement of each gender; None keeps the text
        raters: names of fields that contain one rater's label each; their majority is the emotion. Empty: no raters
        ties: ``"drop"`` leaves rows out whose raters have no majority, ``"first"`` takes the label that comes first
        decimal: decimal separator of numbers

    """

    folder: Path
    labels: Mapping[str, str | None] | None
    genders: Mapping[str, str] | None
    raters: Sequence[str] = ()
    ties: Ties = "drop"
    decimal: Decimal = "point"

    def parse(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields of a row by name.

        Args:
            values: text by field; missing and empty fields are unknown

        Raises:
            LeftOutError: the row is to be left out
            InputError: a field is missing or has no valid value

        """
        emotion = self._emotion(values)
        return self._fields(values) | emotion

    def _emotion(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the label of a row and the agreement of its raters."""
        if not self.raters:
            label = self._label(values.get("emotion", ""), "emotion")
            if label is None:
                raise LeftOutError(NO_LABEL)
            return {"emotion": label}
        votes = [self._label(values[rater], rater) for rater in self.raters if values.get(rater)]
        if not votes:
            raise InputError("no rater gives a label: fill a column of corpus.raters, or remove the row")
        counts = Counter(vote for vote in votes if vote is not None)
        if not counts:
            raise LeftOutError(NO_LABEL)
        ranked = counts.most_common()
        if self.ties == "drop" and len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
            raise LeftOutError(TIE)
        return {"emotion": ranked[0][0], "agreement": ranked[0][1] / len(votes)}

    def _label(self, text: str, column: str) -> str | None:
        if not text:
            raise InputError(f"no {column}: fill it, or remove the row")
        if self.labels is None:
            if re.fullmatch(r"[-+]?[0-9]+([.,][0-9]+)?", text):
                raise InputError(f"{column} is a number: {text}; name it, such as corpus.labels={{{text}: angry}}")
            return text
        if text in self.labels:
            return self.labels[text]
        if text in EMOTIONS or text in self.labels.values():
            return text
        raise InputError(
            f"{column} is not in corpus.labels: {printable(text)}; add {text}: <label>, or {text}: null to leave such"
            " rows out"
        )

    def _fields(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields of a row except its label."""
        if not values.get("path"):
            raise InputError("no path: fill it, or remove the row")
        fields: dict[str, Any] = {name: values[name] for name in TEXTS if values.get(name)}
        if re.fullmatch(r"[0-9]+\.[0-9]+", fields.get("speaker", "")):
            raise InputError(
                f"speaker is a decimal number: {fields['speaker']}; write names as text or integers (a program that"
                " found empty cells may have changed them)"
            )
        if self.genders is not None and "gender" in fields:
            if fields["gender"] not in {**self.genders, **{word: word for word in self.genders.values()}}:
                raise InputError(f"gender is not in corpus.genders: {printable(fields['gender'])}")
            fields["gender"] = self.genders.get(fields["gender"], fields["gender"])
        fields |= {name: self._number(name, values[name]) for name in NUMBERS if values.get(name)}
        fields |= {name: _integer(name, values[name]) for name in INTEGERS if values.get(name)}
        start, end = fields.get("start", 0.0), fields.get("end")
        if start < 0 or (end is not None and end <= start):
            raise InputError(f"no segment: start {start:g} s, end {end} s; expected 0 <= start < end")
        fields["path"] = self.folder / values["path"]
        fields["id"] = values.get("id") or _default_id(values["path"], fields)
        return fields

    def _number(self, name: str, text: str) -> float:
        try:
            if self.decimal == "comma":
                if "." in text:
                    raise ValueError
                text = text.replace(",", ".")
            number = float(text)
            if not abs(number) < float("inf"):
                raise ValueError
        except ValueError:
            hint = "; set corpus.decimal=comma if commas are decimal" if "," in text and self.decimal == "point" else ""
            raise InputError(f"{name} is not a number: {printable(text)}{hint}") from None
        return number


def _integer(name: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise InputError(f"{name} is not an integer: {printable(text)}") from None
    if number < 0:
        raise InputError(f"{name} is negative: {number}")
    return number


def _default_id(path: str, fields: Mapping[str, Any]) -> str:
    """Return the path without its suffix, with the segment and the channel if they are given.

    >>> _default_id("a/b.wav", {"start": 1.5, "channel": 1})
    'a/b[1.5:]#1'
    """
    segment = f"[{fields.get('start', 0):g}:{fields.get('end', '')}]"
    segment = segment if {"start", "end"} & fields.keys() else ""
    channel = f"#{fields['channel']}" if "channel" in fields else ""
    return f"{PurePath(path).with_suffix('').as_posix()}{segment}{channel}"
