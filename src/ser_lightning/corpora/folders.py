"""A corpus described by its folders and file names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_lightning.corpora.audio_files import ALL_SUFFIXES, existing_folder, expand_path, list_audio_files
from ser_lightning.corpora.problems import Downmix, OnProblem
from ser_lightning.corpora.rows import FIELDS, Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, printable


class FolderCorpus(RowCorpus):
    """A corpus whose annotation is in the paths of its files.

    Args:
        name: name of the corpus in results
        root: folder of the audio files
        pattern: regular expression of the whole path of a file relative to ``root``, without its suffix. Its named
            groups are fields: emotion, and optionally speaker, statement and the others of a table
        labels: see :class:`~ser_lightning.corpora.rows.RowCorpus`
        genders: see :class:`~ser_lightning.corpora.rows.RowCorpus`
        on_problem: ``"error"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        follow_links: whether links that lead out of ``root`` are followed
        downmix: how multichannel files become mono; read by the audio configuration
        merge: labels to replace by another label; None keeps all labels

    Raises:
        InputError: ``root`` is no folder, or ``pattern`` is no regular expression of known fields with the emotion

    """

    check_key = "corpus.root and corpus.pattern"

    def __init__(
        self,
        *,
        name: str,
        root: str | None,
        pattern: str,
        labels: Mapping[Any, str | None] | None,
        genders: Mapping[str, str] | None,
        on_problem: OnProblem,
        follow_links: bool,
        downmix: Downmix,
        merge: Mapping[str, str | None] | None,
    ) -> None:
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise InputError(f"corpus.pattern is {pattern!r}, no regular expression: {error}") from error
        groups = self.pattern.groupindex
        if "emotion" not in groups or not groups.keys() <= {*FIELDS} - {"path"}:
            raise InputError(
                f"corpus.pattern is {pattern!r}; expected a group (?P<emotion>...), and other groups only of"
                f" {', '.join(field for field in FIELDS if field not in ('path', 'emotion'))}"
            )
        super().__init__(
            name=name,
            root=existing_folder(expand_path(root), title="the corpus", remedy="give corpus.root=<folder>"),
            labels=labels,
            genders=genders,
            on_problem=on_problem,
            follow_links=follow_links,
            downmix=downmix,
            merge=merge,
        )

    @property
    def source(self) -> Path:
        """The folder, for messages."""
        return self.root

    def read_rows(self) -> tuple[list[Row], list[Problem]]:
        """Return one row per audio file that matches the pattern; and the other files.

        Raises:
            InputError: the folder contains no audio file

        """
        files, problems = list_audio_files(self.root, follow_links=self.follow_links, suffixes=ALL_SUFFIXES)
        if not files and not problems:
            raise InputError(f"{printable(self.root)}: contains no audio file ({', '.join(ALL_SUFFIXES)})")
        rows = []
        for file in files:
            match = self.pattern.fullmatch(file.with_suffix("").as_posix())
            if match is None:
                problems.append(Problem(path=printable(file), reason="path does not match corpus.pattern"))
            else:
                values = {group: text for group, text in match.groupdict().items() if text}
                rows.append(Row(printable(file), {**values, "path": str(file)}))
        return rows, problems
