"""A corpus described by its folders and file names."""

import re
from dataclasses import dataclass
from typing import ClassVar

from ser_lightning.corpora.audio_files import ALL_SUFFIXES, list_corpus_files
from ser_lightning.corpora.row_parser import FIELDS
from ser_lightning.corpora.rows import Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, printable


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderCorpus(RowCorpus):
    """A corpus whose annotation is in the paths of its files.

    Args:
        pattern: regular expression of the whole path of a file relative to ``root``, without its suffix. Its named
            groups are fields: emotion, and optionally speaker, statement and the others of a table

    Raises:
        InputError: ``root`` is no folder, or ``pattern`` is no regular expression of known fields with the emotion

    """

    pattern: str

    check_key: ClassVar[str] = "corpus.root and corpus.pattern"

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise InputError(f"corpus.pattern is {self.pattern!r}, no regular expression: {error}") from error
        if "emotion" not in groups or not groups.keys() <= {*FIELDS} - {"path"}:
            raise InputError(
                f"corpus.pattern is {self.pattern!r}; expected a group (?P<emotion>...), and other groups only of"
                f" {', '.join(field for field in FIELDS if field not in ('path', 'emotion'))}"
            )
        super().__post_init__()

    def read_rows(self) -> tuple[list[Row], list[Problem]]:
        """Return one row per audio file that matches the pattern; and the other files.

        Raises:
            InputError: the folder contains no audio file

        """
        files, problems = list_corpus_files(self.folder, follow_links=self.follow_links, suffixes=ALL_SUFFIXES)
        if not files and not problems:
            raise InputError(
                f"{printable(self.folder)}: contains no audio file (such as {', '.join(ALL_SUFFIXES[:6])})"
            )
        rows = []
        for file in files:
            match = re.fullmatch(self.pattern, file.with_suffix("").as_posix())
            if match is None:
                problems.append(Problem(path=printable(file), reason="path does not match corpus.pattern"))
            else:
                values = {group: text for group, text in match.groupdict().items() if text}
                rows.append(Row(printable(file), {**values, "path": str(file)}))
        return rows, problems
