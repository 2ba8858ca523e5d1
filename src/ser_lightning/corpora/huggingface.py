"""A corpus in the format of Hugging Face's datasets library."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.audio_files import expand_path
from ser_lightning.corpora.row_parser import FIELDS
from ser_lightning.corpora.rows import Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, needs_extra, printable

SAVED = ("dataset_dict.json", "dataset_info.json")  # files of a folder written by save_to_disk
SUBSETS = {"validation": "val", "dev": "val"}  # names of datasets' splits here


@dataclass(frozen=True, kw_only=True, eq=False)
class HuggingFaceCorpus(RowCorpus):
    """A dataset of the datasets library: saved to disk, a local audiofolder, or on the hub.

    Audio that the dataset contains as bytes is written to files once, because everything else reads files.

    Args:
        path: folder written by ``save_to_disk``, folder of an audiofolder, or name on the hub
        root: folder for the audio files that are written
        audio: column of the audio
        columns: column of each field, such as ``{"emotion": "label"}``; None leaves a field out. The subset is the
            dataset's own split unless a column is given

    Raises:
        InputError: no dataset is given, or a column is given for an unknown field

    """

    path: str | None
    audio: str
    columns: Mapping[str, str | None]

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("corpus.path: expected a dataset; give corpus.path=<folder or name on the hub>")
        unknown = sorted(self._columns.keys() - (set(FIELDS) - {"path"}))
        if "emotion" not in self._columns or unknown:
            raise InputError(f"corpus.columns has {', '.join(self._columns)}; expected emotion, and fields of a table")
        super().__post_init__()

    def find_folder(self) -> Path:
        """Return ``root``."""
        return expand_path(self.root) or Path()

    @cached_property
    def _columns(self) -> dict[str, str]:
        return {name: column for name, column in self.columns.items() if column is not None}

    @property
    def source(self) -> Path:
        """The dataset, for messages."""
        return Path(str(self.path))

    def read_rows(self) -> tuple[list[Row], list[Problem]]:
        """Return one row per example of every split, and write audio that is no file yet.

        Raises:
            InputError: datasets is not installed, or the dataset cannot be read or lacks a column

        """
        with needs_extra("corpus=huggingface", "huggingface"):
            import datasets
        loaded = self._load(datasets)
        parts = loaded if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
        rows = []
        for split, part in parts.items():
            for column in (self.audio, *self._columns.values()):
                if column not in part.column_names:
                    raise InputError(
                        f"{printable(self.source)} has no column {column!r}, only {', '.join(part.column_names)}; set"
                        " corpus.audio or corpus.columns"
                    )
            examples = part.cast_column(self.audio, datasets.Audio(decode=False))
            names = {field: getattr(part.features[column], "int2str", str) for field, column in self._columns.items()}
            for number, example in enumerate(examples):
                values = {
                    field: "" if example[column] is None else names[field](example[column])
                    for field, column in self._columns.items()
                }
                values.setdefault("split", SUBSETS.get(split, split))
                folder = PurePath(self.name, part._fingerprint, split)
                values["path"] = str(self._audio_file(example[self.audio], folder / str(number)))
                values.setdefault("id", f"{split}/{number}".lstrip("/"))
                rows.append(Row(f"{split} row {number}".lstrip(), values))
        return rows, []

    def _load(self, datasets: Any) -> Any:
        folder = expand_path(self.path)
        if folder is not None and not folder.exists() and (folder.is_absolute() or len(folder.parts) > 2):
            raise InputError(f"{printable(folder)}: no such folder; give corpus.path=<folder or name on the hub>")
        try:
            if folder is not None and any((folder / name).exists() for name in SAVED):
                return datasets.load_from_disk(str(folder))
            if folder is not None and folder.is_dir():
                return datasets.load_dataset("audiofolder", data_dir=str(folder))
            return datasets.load_dataset(self.path)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise InputError(
                f"Cannot load the dataset {printable(self.source)}: {' '.join(str(error).split())}; give"
                " corpus.path=<folder or name on the hub>"
            ) from error

    def _audio_file(self, audio: Mapping[str, Any], name: PurePath) -> PurePath:
        """Return the file of an example, relative to ``root`` if the dataset contains its bytes, and write these."""
        if audio["bytes"] is None:
            return Path(audio["path"]).absolute()
        name = name.with_name(name.name + PurePath(audio["path"] or "x.wav").suffix)
        path = self.folder / name
        if not path.exists() or path.stat().st_size != len(audio["bytes"]):
            with write_atomically(path, "wb") as file:
                file.write(audio["bytes"])
        return name
