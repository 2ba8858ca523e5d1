"""Corpora of the user: utterances from rows of text, whose fields and files are checked one by one."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import soundfile

from ser_lightning.corpora.audio_files import existing_folder, expand_path, find_fault, sha256
from ser_lightning.corpora.merging import merged, relabel
from ser_lightning.corpora.problems import Downmix, OnProblem, finish_scan
from ser_lightning.corpora.row_parser import LeftOutError, RowParser
from ser_lightning.corpora.utterance import Problem, Scan, Utterance
from ser_lightning.errors import InputError, printable
from ser_lightning.labels import in_order

TOLERANCE = 0.01  # seconds by which a segment may exceed its recording, because tables round


class Row(NamedTuple):
    """A row of a corpus.

    Args:
        place: where it is, for messages, such as ``"row 7"``
        values: text by field; missing and empty fields are unknown

    """

    place: str
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
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
        InputError: the folder does not exist

    """

    name: str
    root: str | None
    labels: Mapping[Any, str | None] | None
    genders: Mapping[str, str] | None
    on_problem: OnProblem
    follow_links: bool
    downmix: Downmix
    merge: Mapping[str, str | None] | None
    folder: Path = field(init=False)  # that paths are relative to

    check_key: ClassVar[str] = "corpus.path"  # key to check if no utterance is usable, for messages
    root_hint: ClassVar[str] = "<folder>"  # value of corpus.root, for messages

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.find_folder())

    def find_folder(self) -> Path:
        """Return the folder that paths are relative to.

        Raises:
            InputError: it does not exist

        """
        return existing_folder(expand_path(self.root), title="the corpus", remedy=f"give corpus.root={self.root_hint}")

    def parser(self) -> RowParser:
        """Return the parser of the rows."""
        labels = None if self.labels is None else {str(label): word for label, word in self.labels.items()}
        return RowParser(folder=self.folder, labels=labels, genders=self.genders)

    @property
    def source(self) -> Path:
        """The table or folder of the corpus, for messages."""
        return self.folder

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
        utterances: list[Utterance] = []
        digests: dict[Path, str] = {}
        faults: dict[Path, str | None] = {}
        home = None if self.follow_links else self.folder.resolve()
        for place, fields in annotation.rows:
            path = fields["path"]
            if path not in faults:
                # Only links may lead out of the root unnoticed; a path that names another folder is followed.
                inside = home is not None and path.is_relative_to(self.folder)
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
            utterances.append(Utterance(**fields, corpus=self.name, digest=digests[path], place=place))
        kept, duplicates = _drop_repeated(utterances)
        problems += [self._problem(place, reason, detail) for place, reason, detail in duplicates]
        scan = finish_scan(
            self.source, kept, problems, left_out=annotation.left_out, on_problem=self.on_problem, check=self.check_key
        )
        return relabel(scan, self.merge)

    def _problem(self, place: str, reason: str, detail: str = "") -> Problem:
        return Problem(path=place, reason=f"{reason}: {detail}" if detail else reason)

    @cached_property
    def _annotation(self) -> "_Annotation":
        parser = self.parser()
        texts, unread = self.read_rows()
        rows, problems = [], list(unread)
        left_out: Counter[str] = Counter()
        for place, values in texts:
            try:
                rows.append((place, parser.parse(values)))
            except LeftOutError as error:
                left_out[str(error)] += 1
            except InputError as error:
                problems.append(Problem(path=place, reason=str(error)))
        if not rows and not problems:
            raise InputError(f"{printable(self.source)}: no row is left; check the table and corpus.labels")
        notes = [Problem(path=f"{count} rows", reason=f"left out: {reason}") for reason, count in left_out.items()]
        return _Annotation(rows, problems, notes)


class _Annotation(NamedTuple):
    rows: list[tuple[str, dict[str, Any]]]
    problems: list[Problem]
    left_out: list[Problem]


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


def _drop_repeated(utterances: Iterable[Utterance]) -> tuple[list[Utterance], list[tuple[str, str, str]]]:
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
                dropped.append((str(each.place), "same segment with another emotion", str(other.place)))
            continue
        once.append(first)
        dropped += [(str(each.place), "same segment as another row", str(first.place)) for each in others]
    ids: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in once:
        ids[utterance.id].append(utterance)
    kept = []
    for first, *others in ids.values():
        if others:
            dropped += [(str(each.place), "id is not unique", printable(each.id)) for each in (first, *others)]
        else:
            kept.append(first)
    return kept, dropped
