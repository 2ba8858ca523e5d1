"""A corpus described by a table: CSV, TSV, JSON Lines or Parquet, one row per utterance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ser_lightning.corpora.audio_files import expand_path
from ser_lightning.corpora.row_parser import FIELDS, Decimal, RowParser, Ties
from ser_lightning.corpora.rows import Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, printable, suggestion

if TYPE_CHECKING:
    import pandas as pd

Separator = Literal["comma", "semicolon", "tab", "pipe"]
SEPARATORS: dict[Separator, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
SUFFIXES: dict[str, Separator] = {".csv": "comma", ".tsv": "tab"}
REQUIRED = ("path", "emotion")


@dataclass(frozen=True, kw_only=True, eq=False)
class TableCorpus(RowCorpus):
    """A corpus described by a table.

    Args:
        path: the table; its suffix names the format: .csv, .tsv, .jsonl or .parquet
        root: folder that paths in the table are relative to; None is the folder of the table
        columns: name of the column of each field, such as ``{"speaker": "spk"}``; a field without an entry has its own
            name. All columns but path and emotion are optional
        raters: columns that contain one rater's label each; their majority replaces the column emotion. None: no raters
        ties: ``"drop"`` leaves rows out whose raters have no majority, ``"first"`` takes the label that comes first
        separator: separator of a text table; None is the one of the suffix
        decimal: decimal separator of ages and times
        encoding: encoding of a text table; ``"utf-8"`` accepts a byte order mark

    Raises:
        InputError: no table is given, or a column is given for an unknown field

    """

    path: str | None
    columns: Mapping[str, str]
    raters: Sequence[str] | None
    ties: Ties
    separator: Separator | None
    decimal: Decimal
    encoding: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.columns:
            if name not in FIELDS:
                raise InputError(f"corpus.columns.{name}: no such field; expected one of {', '.join(FIELDS)}")

    def find_folder(self) -> Path:
        """Return ``root``, or the folder of the table."""
        return expand_path(self.root) or self.source.parent

    def parser(self) -> RowParser:
        """Return the parser of the rows, with the raters and the number format of the table."""
        return replace(super().parser(), raters=tuple(self.raters or ()), ties=self.ties, decimal=self.decimal)

    @property
    def source(self) -> Path:
        """The table."""
        table = expand_path(self.path)
        if table is None:
            raise InputError("corpus.path: expected a table of utterances; give corpus.path=<file>.csv")
        return table

    def read_rows(self) -> tuple[list[Row], list[Problem]]:
        """Return the rows of the table; it contains nothing else.

        Raises:
            InputError: the table cannot be read or lacks a column

        """
        try:
            table = self._read_table()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{printable(self.source)} is not {self.encoding} (byte {error.start}); save it as UTF-8, or set"
                " corpus.encoding, such as corpus.encoding=cp1252"
            ) from error
        except (OSError, ValueError, LookupError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
            raise InputError(f"Cannot read the table {printable(self.source)}: {reason}") from error
        column_of = self._columns_present(list(map(str, table.columns)))
        first = 2 if self.separator or self.source.suffix.lower() in SUFFIXES else 1  # the header is row 1
        texts = {field: _texts(table[column]) for field, column in column_of.items()}
        rows = [
            Row(f"row {number}", dict(zip(texts, values, strict=True)))
            for number, values in enumerate(zip(*texts.values(), strict=True), start=first)
        ]
        return rows, []

    def _read_table(self) -> "pd.DataFrame":
        """Read the table; text formats without any interpretation of the values."""
        import pandas as pd

        encoding = "utf-8-sig" if self.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else self.encoding
        suffix = self.source.suffix.lower()
        if suffix == ".parquet":
            try:
                return pd.read_parquet(self.source)
            except ImportError as error:
                raise InputError(
                    f"{printable(self.source)} needs pyarrow, which is not installed; install it with pip install"
                    " 'ser-lightning[parquet]', or save the table as CSV"
                ) from error
        if suffix in (".jsonl", ".ndjson"):
            with self.source.open(encoding=encoding) as file:
                # Objects keep integers in columns that miss some values.
                return pd.DataFrame([json.loads(line) for line in file if line.strip()], dtype=object)
        if suffix not in SUFFIXES and self.separator is None:
            raise ValueError("expected .csv, .tsv, .jsonl or .parquet; or set corpus.separator for a text table")
        separator = SEPARATORS[self.separator or SUFFIXES[suffix]]
        # The header is read as a row, because pandas renames columns of the same name.
        rows = pd.read_csv(
            self.source,
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            encoding=encoding,
            index_col=False,
            skip_blank_lines=False,  # so that rows keep their numbers
        )
        return rows.iloc[1:].set_axis(rows.iloc[0].str.strip(), axis="columns")

    def _columns_present(self, present: Sequence[str]) -> dict[str, str]:
        """Return field -> column of the columns to read.

        Raises:
            InputError: a column that is needed or named in the config is missing

        """
        raters = self.raters or ()
        column_of = {field: self.columns.get(field, field) for field in FIELDS} | {rater: rater for rater in raters}
        if repeated := [name for name in present if present.count(name) > 1]:
            raise InputError(f"{printable(self.source)} has several columns {repeated[0]!r}; rename all but one")
        for field, column in column_of.items():
            required = field in REQUIRED and not (field == "emotion" and raters)
            if column not in present and (required or column != field or field in raters):
                others = f"; if its columns are separated otherwise, set corpus.separator to {', '.join(SEPARATORS)}"
                hint = others * (len(present) == 1)
                raise InputError(
                    f"{printable(self.source)} has no column {column!r}, only {', '.join(present)}"
                    f"{suggestion(column, present)}; name the column by corpus.columns.{field}=<name>{hint}"
                )
        return {field: column for field, column in column_of.items() if column in present}


def _texts(values: "pd.Series[Any]") -> list[str]:
    """Return the values of a column as text; missing values are empty."""
    missing = values.isna()
    return ["" if absent else str(value).strip() for value, absent in zip(values, missing, strict=True)]
