"""A corpus in audEERING's audformat, as audb leaves it in a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_lightning.corpora.audio_files import existing_folder, expand_path
from ser_lightning.corpora.problems import Downmix, OnProblem
from ser_lightning.corpora.rows import FIELDS, Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, printable

if TYPE_CHECKING:
    import pandas as pd


class AudformatCorpus(RowCorpus):
    """A database of audformat: a folder with ``db.yaml``, its tables and its media.

    Args:
        name: name of the corpus in results
        root: folder of the database
        columns: table and column of each field, such as ``{"emotion": "emotion/emotion", "speaker": "files/speaker"}``;
            a third part names a value of the scheme's labels, such as ``"files/speaker/gender"``. The rows are those of
            the emotion, whose table may consist of segments; other fields are looked up by file. None leaves a field
            out
        labels: see :class:`~ser_lightning.corpora.rows.RowCorpus`
        genders: see :class:`~ser_lightning.corpora.rows.RowCorpus`
        on_problem: ``"error"`` raises an error on any problem, ``"skip"`` leaves the rows out and lists them
        follow_links: whether links that lead out of ``root`` are followed
        downmix: how multichannel files become mono; read by the audio configuration
        merge: labels to replace by another label; None keeps all labels

    Raises:
        InputError: ``root`` is no folder, or the column of the emotion is not given

    """

    check_key = "corpus.root"

    def __init__(
        self,
        *,
        name: str,
        root: str | None,
        columns: Mapping[str, str | None],
        labels: Mapping[Any, str | None] | None,
        genders: Mapping[str, str] | None,
        on_problem: OnProblem,
        follow_links: bool,
        downmix: Downmix,
        merge: Mapping[str, str | None] | None,
    ) -> None:
        self.columns = {field: place for field, place in columns.items() if place is not None}
        unknown = sorted(self.columns.keys() - set(FIELDS))
        if "emotion" not in self.columns or unknown:
            raise InputError(
                f"corpus.columns has {', '.join(self.columns)}; expected emotion: <table>/<column>, and other fields"
                f" only of {', '.join(FIELDS)}"
            )
        super().__init__(
            name=name,
            root=existing_folder(
                expand_path(root), title="the database", remedy="give corpus.root=<folder of db.yaml>"
            ),
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
        """Return one row per labeled file or segment.

        Raises:
            InputError: audformat is not installed, or the database cannot be read or lacks a column

        """
        try:
            import audformat
        except ImportError as error:
            raise InputError("corpus=audformat needs a library; pip install 'ser-lightning[audformat]'") from error
        try:
            database = audformat.Database.load(str(self.root))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(
                f"{printable(self.root)} is no audformat database: {' '.join(str(error).split())}"
            ) from error
        series = {field: self._column(database, field) for field in self.columns}
        by_file = {
            field: dict(zip(column.index.get_level_values("file"), column, strict=True))
            for field, column in series.items()
            if field != "emotion"
        }
        rows = []
        for number, (index, emotion) in enumerate(series["emotion"].items(), start=1):
            file, start, end = index if isinstance(index, tuple) else (index, None, None)
            values = {"path": str(file), "emotion": _text(emotion)}
            values |= {field: _text(found.get(file)) for field, found in by_file.items()}
            values |= {"start": _text(start), "end": _text(end)}
            rows.append(Row(f"row {number}", values))
        return rows, []

    def _column(self, database: Any, field: str) -> "pd.Series[Any]":
        table, _, rest = self.columns[field].partition("/")
        column, _, mapped = rest.partition("/")
        if table not in database.tables or column not in database[table].columns:
            known = [f"{name}/{each}" for name in database.tables for each in database[name].columns]
            raise InputError(
                f"corpus.columns.{field} is {self.columns[field]!r}; {printable(self.root)} has {', '.join(known)};"
                " null leaves the field out"
            )
        try:
            found: pd.Series[Any] = database[table][column].get(map=mapped or None)
        except ValueError as error:
            raise InputError(f"corpus.columns.{field} is {self.columns[field]!r}: {error}") from error
        return found


def _text(value: Any) -> str:
    """Return a value as text; missing values are empty, and times are in seconds."""
    import pandas as pd

    if pd.isna(value):
        return ""
    return str(value.total_seconds() if isinstance(value, pd.Timedelta) else value)
