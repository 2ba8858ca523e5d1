"""Corpora of the user: utterances from rows of text, checked one by one."""

import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

import soundfile

from ser_lightning.corpora.audio_files import find_fault, sha256
from ser_lightning.corpora.merging import merged, relabel
from ser_lightning.corpora.problems import Downmix, OnProblem, finish_scan
from ser_lightning.corpora.utterance import Problem, Scan, Utterance
from ser_lightning.errors import InputError, printable
from ser_lightning.labels import EMOTIONS, in_order

TEXTS = ("speaker", "gender", "statement", "intensity", "language", "split")
NUMBERS = ("start", "end", "age")
INTEGERS = ("take", "channel")
FIELDS = ("id", "path", "emotion", *TEXTS, *NUMBERS, *INTEGERS)
TOLERANCE = 0.01  # seconds by which a segment may exceed its recording, because tables round

Ties = Literal["drop", "first"]
Decimal = Literal["point", "comma"]


class Row(NamedTuple):
    """A row of a corpus.

    Args:
        place: where it is, for messages, such as ``"row 7"``
        values: text by field; missing and empty fields are unknown

    """

    place: str
    values: Mapping[str, str]


class RowCorpus(ABC):
    """A corpus whose annotation is rows of text.

    Args:
        name: name of the corpus in results
        root: folder that paths are relative to
        labels: replacement of each label; None as a replacement leaves the rows out. Labels without a replacement are
            kept if they belong to the common vocabulary or are a replacement themselves, otherwise they are problems.
            None keeps all labels
        genders: replacement of each gender, such as ``{"f": "female"}``; None keeps the text
        on_problem: ``"error"`` raises an error on any problem, ``"skip"`` leaves the rows out and lists them
        follow_links: whether links that lead out of ``root`` are followed
        downmix: how multichannel files become mono; read by the audio configuration
        merge: labels to replace by another label; None keeps all labels

    Raises:
        InputError: a replacement in ``labels`` is empty

    """

    raters: Sequence[str] = ()  # names of additional values, one rater's label each
    ties: Ties = "drop"
    decimal: Decimal = "point"

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        labels: Mapping[Any, str | None] | None,
        genders: Mapping[str, str] | None,
        on_problem: OnProblem,
        follow_links: bool,
        downmix: Downmix,
        merge: Mapping[str, str | None] | None,
    ) -> None:
        self.name, self.root = name, root
        self.labels = None if labels is None else {str(label): word for label, word in labels.items()}
        self.genders = genders
        self.on_problem, self.follow_links, self.downmix, self.merge = on_problem, follow_links, downmix, merge

    @property
    @abstractmethod
    def source(self) -> Path:
        """The table or folder of the corpus, for messages."""

    @abstractmethod
    def read_rows(self) -> tuple[Sequence[Row], Sequence[Problem]]:
        """Return the rows of the corpus, and the problems of what is no row.

        Raises:
            InputError: they cannot be read

        """

    @property
    def emotions(self) -> tuple[str, ...]:
        """The labels: those of the common vocabulary in its order, then others in alphabetical order."""
        return merged(in_order(str(fields["emotion"]) for _, fields in self._annotation.rows), self.merge)

    def scan(self) -> Scan:
        """Check every row and its file.

        Raises:
            InputError: the rows cannot be read, no row is usable, or any problem when ``on_problem`` is ``"error"``

        """
        annotation = self._annotation
        problems = list(annotation.problems)
        utterances, places = [], {}
        digests: dict[Path, str] = {}
        faults: dict[Path, str | None] = {}
        home = None if self.follow_links else self.root.resolve()
        for place, fields in annotation.rows:
            path = fields["path"]
            if path not in faults:
                # Only links may lead out of the root unnoticed; a path that names another folder is followed.
                inside = home is not None and path.is_relative_to(self.root)
                faults[path] = find_fault(path, home=home if inside else None)
            reason = faults[path] or _segment_fault(path, fields)
            if reason is None and path not in digests:
                try:
                    digests[path] = sha256(path)
                except OSError as error:
                    reason = f"unreadable file: {error.strerror}"
            if reason is not None:
                problems.append(self._problem(place, reason, printable(path)))
                continue
            utterances.append(Utterance(**fields, corpus=self.name, digest=digests[path]))
            places[id(utterances[-1])] = place
        kept, duplicates = _drop_repeated(utterances, places)
        problems += [self._problem(place, reason, detail) for place, reason, detail in duplicates]
        scan = finish_scan(
            self.source, kept, problems, left_out=annotation.left_out, on_problem=self.on_problem, check=self.check_key
        )
        return relabel(scan, self.merge)

    check_key = "corpus.path"

    def _problem(self, place: str, reason: str, detail: str = "") -> Problem:
        return Problem(path=place, reason=f"{reason}: {detail}" if detail else reason)

    @cached_property
    def _annotation(self) -> "_Annotation":
        texts, unread = self.read_rows()
        rows, problems = [], list(unread)
        left_out: Counter[str] = Counter()
        for place, values in texts:
            try:
                emotion = self._emotion(values)
                if emotion is None:
                    left_out["corpus.labels maps their label to null"] += 1
                    continue
                rows.append((place, {**self._fields(values), **emotion}))
            except _TieError:
                left_out["the raters' labels tie (corpus.ties=first keeps the first)"] += 1
            except InputError as error:
                problems.append(Problem(path=place, reason=str(error)))
        if not rows and not problems:
            raise InputError(f"{printable(self.source)}: no row is left; check the table and corpus.labels")
        notes = [Problem(path=f"{count} rows", reason=f"left out: {reason}") for reason, count in left_out.items()]
        return _Annotation(rows, problems, notes)

    def _emotion(self, values: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the label of a row and the agreement of its raters, or None if the row is to be left out."""
        if not self.raters:
            label = self._label(values.get("emotion", ""), "emotion")
            return None if label is None else {"emotion": label}
        votes = [self._label(values[rater], rater) for rater in self.raters if values.get(rater)]
        if not votes:
            raise InputError("no rater gives a label: fill a column of corpus.raters, or remove the row")
        counts = Counter(vote for vote in votes if vote is not None)
        if not counts:
            return None
        ranked = counts.most_common()
        if self.ties == "drop" and len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
            raise _TieError
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
        fields["path"] = self.root / values["path"]
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


class _TieError(Exception):
    """The raters of a row disagree, and no label has the majority."""


class _Annotation(NamedTuple):
    rows: list[tuple[str, dict[str, Any]]]
    problems: list[Problem]
    left_out: list[Problem]


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


def _segment_fault(path: Path, fields: Mapping[str, Any]) -> str | None:
    """Return why a segment or channel does not exist in a file, or None."""
    if not {"start", "end", "channel"} & fields.keys():
        return None
    try:
        info = soundfile.info(str(path))
    except (OSError, RuntimeError):
        return None  # reported when the audio is loaded
    last = fields.get("end", fields.get("start", 0.0))
    if last > info.duration + TOLERANCE or fields.get("start", 0.0) >= info.duration:
        return f"segment beyond the end of the recording, which lasts {info.duration:.3f} s: {last:g} s"
    if fields.get("channel", 0) >= info.channels:
        return f"no channel {fields['channel']} among {info.channels}, counted from 0"
    return None


def _drop_repeated(
    utterances: Iterable[Utterance], places: Mapping[int, str]
) -> tuple[list[Utterance], list[tuple[str, str, str]]]:
    """Drop rows that repeat a segment or an id.

    Returns:
        The utterances kept; and place, reason and detail of each row dropped.

    """
    segments: dict[tuple[Any, ...], list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        segments[utterance.path, utterance.start, utterance.end, utterance.channel].append(utterance)
    once, dropped = [], []
    for first, *others in segments.values():
        if len({each.emotion for each in (first, *others)}) > 1:
            for each in (first, *others):
                other = next(o for o in (first, *others) if o.emotion != each.emotion)
                dropped.append((places[id(each)], "same segment with another emotion", places[id(other)]))
            continue
        once.append(first)
        dropped += [(places[id(each)], "same segment as another row", places[id(first)]) for each in others]
    ids: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in once:
        ids[utterance.id].append(utterance)
    kept = []
    for first, *others in ids.values():
        if others:
            dropped += [(places[id(each)], "id is not unique", printable(each.id)) for each in (first, *others)]
        else:
            kept.append(first)
    return kept, dropped
