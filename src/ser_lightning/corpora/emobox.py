"""Corpora described by EmoBox's JSON Lines, with its folds (Ma et al. 2024, arXiv 2406.07162)."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ser_lightning.corpora.audio_files import existing_folder, expand_path
from ser_lightning.corpora.rows import Row, RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError, printable

FILE = re.compile(r".*_(?P<split>train|valid|test)_fold_[0-9]+\.jsonl")
SUBSETS = {"train": "train", "valid": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True, eq=False)
class EmoBoxCorpus(RowCorpus):
    """A corpus in the format of EmoBox.

    The subsets of the fold are the column of ``split=column``. For most corpora, EmoBox has no validation files and
    draws validation clips from the training set, as ``split.val=0.2`` does. It names no speakers.

    Args:
        path: folder of the folds of one corpus, such as ``EmoBox/data/emovo``
        fold: number of the fold, counted from 1 as in EmoBox
        root: folder that the paths in the files are relative to, the parent of ``downloads``

    Raises:
        InputError: ``path`` or ``root`` is no folder, or it lacks the fold

    """

    path: str | None
    fold: int

    root_hint: ClassVar[str] = "<parent of downloads>"
    genders: None = field(init=False, default=None)  # EmoBox gives none

    def __post_init__(self) -> None:
        if not self.source.is_dir():
            folder = self.source.parent
            known = sorted(entry.name for entry in folder.glob("fold_*"))
            raise InputError(
                f"corpus.fold is {self.fold}, but {printable(folder)} has {', '.join(known) or 'no folds'}"
            )
        super().__post_init__()

    @property
    def source(self) -> Path:
        """The folder of the fold."""
        folder = existing_folder(
            expand_path(self.path), title="EmoBox's files", remedy="give corpus.path=<EmoBox>/data/<corpus>"
        )
        return folder / f"fold_{self.fold}"

    def read_rows(self) -> tuple[list[Row], list[Problem]]:
        """Return the rows of the training, validation and test files of the fold.

        Raises:
            InputError: there is no such file, or a line is not an object of key, wav and emo

        """
        rows = []
        for path in sorted(self.source.glob("*.jsonl")):
            if not (match := FILE.fullmatch(path.name)):
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                try:
                    record = json.loads(line)
                    values = {"id": str(record["key"]), "path": str(record["wav"]), "emotion": str(record["emo"])}
                except (ValueError, TypeError, KeyError) as error:
                    raise InputError(
                        f"{printable(path)}, row {number}: expected an object with key, wav and emo ({error!r})"
                    ) from error
                rows.append(Row(f"{path.name} row {number}", {**values, "split": SUBSETS[match["split"]]}))
        if not rows:
            raise InputError(f"{printable(self.source)}: contains no *_train_fold_*.jsonl; check corpus.path")
        return rows, []
