"""The description of a published corpus: the grammar of its file names, its codes and its recordings."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path, PurePath
from typing import Any

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, printable
from ser_lightning.labels import in_order

FIELDS = frozenset(each.name for each in fields(Utterance))
LISTED_CODES = 12  # a message lists at most this many codes


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A downloadable ZIP archive of a corpus.

    Args:
        url: its address
        size: size, bytes
        md5: MD5, in hexadecimal

    """

    url: str
    size: int
    md5: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePath(self.url.partition("?")[0]).name


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A published corpus.

    Args:
        name: name of the corpus in configs and results
        title: name of the corpus in messages
        license: terms of use
        source: publication or address that documents the names and codes
        how_to_get: instructions to obtain the corpus
        pattern: regular expression of a file name without its suffix. Its groups are fields of
            :class:`~ser_lightning.corpora.utterance.Utterance`, or other parts that only ``codes`` check
        example: a file name, for messages
        codes: for each group, the value of every valid code; groups without an entry are kept as they are. Emotions
            with the value None are left out
        ids: function that returns the ids of all published recordings; None if they are not known
        templates: fields composed of the codes of groups, such as ``{"id": "{speaker}_{emotion}"}``; the id is the
            file name by default
        genders: gender of every speaker, where neither the names nor the annotations give it
        annotate: function that reads the label files of the corpus below its root: more groups of each recording, by
            id; None if the names give all labels
        partly_labeled: whether recordings without an annotation are left out; otherwise they are problems
        ignored: regular expression of folders to ignore, in any case
        constants: fields that are the same for all recordings, such as the language
        folder: regular expression of the folders whose names have groups of ``pattern``, in any case; a folder that
            contradicts the file name is an error, and it supplies groups that the file name lacks
        aliases: other spellings of file names and of codes in folder names, and the regular ones
        corrected: regular expression of the names of corrected files, each of which replaces another of the same id
        same_recording: sets of ids that were published as one recording with one label; all of them are kept
        unusable: published recordings to leave out, and the reason of each, by id
        copies: explanation of folders that duplicate the corpus
        truncated_seconds: length to which a copy in circulation cuts or pads every recording; None if there is none
        archive: the archive to download, if the license allows it

    """

    name: str
    title: str
    license: str
    source: str
    how_to_get: str
    pattern: str
    example: str
    codes: Mapping[str, Mapping[str, Any]]
    ids: Callable[[], Iterable[str]] | None
    templates: Mapping[str, str] = field(default_factory=dict)
    genders: Mapping[str, str] = field(default_factory=dict)
    annotate: Callable[[Path], Mapping[str, Mapping[str, str]]] | None = None
    partly_labeled: bool = False
    ignored: str | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    folder: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    corrected: str | None = None
    same_recording: Collection[frozenset[str]] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    copies: str = "some archives contain every recording twice"
    truncated_seconds: float | None = None
    archive: Archive | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions of the corpus, in the order of their class indices."""
        return in_order(label for label in self.codes["emotion"].values() if label is not None)

    @property
    def remedy(self) -> str:
        """Instructions to obtain the corpus or to point to a copy, for messages."""
        return (
            f"to get the corpus, {self.how_to_get}, or let corpus.root=<folder> or {self.name.upper()}_ROOT point to a"
            " copy you already have; corpus=synthetic needs nothing"
        )

    def parse(self, path: PurePath, *, annotations: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
        """Read the annotation of a recording from its path, and from the label files of the corpus if there are any.

        Args:
            path: the file, relative to the root of the corpus
            annotations: the result of ``annotate``

        Returns:
            Fields of :class:`~ser_lightning.corpora.utterance.Utterance`, among them the id and the emotion, which is
            None if no label applies.

        Raises:
            InputError: the name does not follow the grammar of the corpus, or a folder contradicts it

        """
        stem = self.aliases.get(path.stem, path.stem)
        match = re.fullmatch(self.pattern, stem)
        if match is None:
            raise InputError(f"not a file name of {self.title}: expected one such as {self.example}")
        codes = {group: code for group, code in match.groupdict().items() if code is not None}
        for folder in path.parts[:-1]:
            codes = self._with_folder(codes, folder)
        if annotations is not None:
            id_ = self._id(stem, codes)
            if id_ not in annotations and self.partly_labeled:
                return {"id": id_, "emotion": None}
            if id_ not in annotations:
                raise InputError("not in the label files of the corpus")
            codes |= annotations[id_]
        for group, values in self.codes.items():
            code = codes.get(group)
            if code not in values:
                got = f"got {code}" if code else "neither the file name nor a folder gives it"
                raise InputError(f"wrong {group}: {got}, expected {_listed(values)}")
        annotation = {group: self.codes.get(group, {}).get(code, code) for group, code in codes.items()}
        annotation |= {name: template.format(**codes) for name, template in self.templates.items()}
        annotation |= {"id": self._id(stem, codes), **self.constants}
        if self.genders:
            annotation["gender"] = self.genders[annotation["speaker"]]
        return {name: value for name, value in annotation.items() if name in FIELDS}

    def _id(self, stem: str, codes: Mapping[str, str]) -> str:
        return self.templates["id"].format(**codes) if "id" in self.templates else stem

    def _with_folder(self, codes: dict[str, str], folder: str) -> dict[str, str]:
        """Return the codes of a file name, completed by those of a folder name.

        Raises:
            InputError: they differ

        """
        match = re.fullmatch(self.folder, folder, re.IGNORECASE) if self.folder else None
        for group, text in match.groupdict().items() if match else ():
            regular = self.aliases.get(text.lower(), text).lower()
            code = next((code for code in self.codes[group] if code.lower() == regular), text)
            if codes.setdefault(group, code) != code:
                raise InputError(
                    f"folder of another {group}: {printable(folder)} contains a recording of {codes[group]}"
                )
        return codes


def _listed(codes: Iterable[str]) -> str:
    codes = list(codes)
    if len(codes) == 1:
        return codes[0]
    if len(codes) > LISTED_CODES:
        return f"one of {codes[0]}, {codes[1]}, ..., {codes[-1]}"
    return f"one of {', '.join(codes)}"


def same(codes: Iterable[str]) -> dict[str, str]:
    """Return codes that stand for themselves.

    >>> same(["a01", "a02"])
    {'a01': 'a01', 'a02': 'a02'}
    """
    return {code: code for code in codes}


def combine(*codes: Iterable[str], separator: str) -> set[str]:
    """Return every combination of one code of each group, joined.

    >>> sorted(combine(["a", "b"], ["1", "2"], separator="-"))
    ['a-1', 'a-2', 'b-1', 'b-2']
    """
    return {separator.join(parts) for parts in product(*codes)}
