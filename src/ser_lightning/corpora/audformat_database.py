"""A corpus in audEERING's audformat, as audb leaves it in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ser_lightning.corpora.row_parser import FIELDS
from ser_lightning.corpora.rows import Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, needs_extra, printable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False)
class AudformatCorpus(RowCorpus):
    """A database of audformat: a folder with ``db.yaml``, its tables and its media.

    Args:
        root: folder of the database
        columns: table and column of each field, such as ``{"emotion": "emotion/emotion", "speaker": "files/speaker"}``;
            a third part names a value of the scheme's labels, such as ``"files/speaker/gender"``. The rows are those of
            the emotion, whose table may consist of segments; other fields are looked up by file. None leaves a field
            out

    Raises:
        InputError: ``root`` is no folder, or the column of the emotion is not given

    """

    columns: Mapping[str, str | None]

    check_key: ClassVar[str] = "corpus.root"
    root_hint: ClassVar[str] = "<folder of db.yaml>"

    def __post_init__(self) -> None:
        unknown = sorted(self._columns.keys() - set(FIELDS))
        if "emotion" not in self._columns or unknown:
            raise InputError(
                f"corpus.columns has {', '.join(self._columns)}; expected emotion: <table>/<column>, and other fields"
                f" only of {', '.join(FIELDS)}"
            )
        super().__post_init__()

    @cached_property
    def _columns(self) -> dict[str, str]:
        return {name: place for name, place in self.columns.items() if place is not None}

    def read_rows(self) -> tuple[list[Row], list[Problem]]:
        """Return one row per labeled file or segment.

        Raises:
            InputError: audformat is not installed, or the database cannot be read or lacks a column

        """
        with needs_extra("corpus=audformat", "audformat"):
            import audformat
        try:
            database = audformat.Database.load(str(self.folder))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(
                f"{printable(self.folder)} is no audformat database: {' '.join(str(error).split())}"
            ) from error
        series = {field: self._column(database, field) for field in self._columns}
        by_file = {
            field: dict(zip(column.index.get_level_values("file"), column, strict=True))
            for field, column in series.items()
            if field != "emotion"
        }
        rows = []
        for number, (index, emotion) in enumerate(series["emotion"].items(), start=1):
            file, start, end = index if isinstance(index, tuple) else (index, None, None)
            values = {"path": str(file), "emotion": _text(emotion)}
            values |= {field: _text(value_of.get(file)) for field, value_of in by_file.items()}
            values |= {"start": _text(start), "end": _text(end)}
            rows.append(Row(f"row {number}", values))
        return rows, []

    def _column(self, database: Any, field: str) -> "pd.Series[Any]":
        table, _, column_and_mapped = self._columns[field].partition("/")
        column, _, mapped = column_and_mapped.partition("/")
        if table not in database.tables or column not in database[table].columns:
            known = [f"{name}/{each}" for name in database.tables for each in database[name].columns]
            raise InputError(
                f"corpus.columns.{field} is {self._columns[field]!r}; {printable(self.folder)} has {', '.join(known)};"
                " null leaves the field out"
            )
        try:
            values: pd.Series[Any] = database[table][column].get(map=mapped or None)
        except ValueError as error:
            raise InputError(f"corpus.columns.{field} is {self._columns[field]!r}: {error}") from error
        return values


def _text(value: Any) -> str:
    """Return a value as text; missing values are empty, and times are in seconds."""
    import pandas as pd

    if pd.isna(value):
        return ""
    return str(value.total_seconds() if isinstance(value, pd.Timedelta) else value)
