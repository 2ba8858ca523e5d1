"""Folds of speakers stored in the package."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, check_value
from ser_lightning.splits.speakers import split_by, subsets_of_speakers
from ser_lightning.splits.split import Split, require_field
from ser_lightning.splits.takes import check_fold

FOLDS = Path(__file__).parent / "folds"


class CommittedFolds:
    """Test on one stored fold of speakers, validate on the next and train on the others.

    Args:
        manifest: name of a file in ``splits/folds/`` without ``.csv``, with the columns ``speaker`` and ``fold``
            (counted from 0); the header comment of the file states its source
        fold: index of the test fold, counted from 0

    Raises:
        InputError: there is no such manifest, or ``fold`` is out of range

    """

    def __init__(self, *, manifest: str, fold: int) -> None:
        known = sorted(path.stem for path in FOLDS.glob("*.csv"))
        check_value("split.manifest", manifest, valid=manifest in known, expected=f"one of {', '.join(known)}")
        lines = (FOLDS / f"{manifest}.csv").read_text(encoding="utf-8").splitlines()
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        self.folds: list[list[str]] = [[] for _ in range(1 + max(int(row["fold"]) for row in rows))]
        for row in rows:
            self.folds[int(row["fold"])].append(row["speaker"])
        check_fold(fold, len(self.folds))
        self.manifest, self.fold = manifest, fold

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: an utterance has no speaker, or the speakers differ from those of the manifest

        """
        subset_of = subsets_of_speakers(self.folds, fold=self.fold, val_folds=1)
        speaker_of = require_field(utterances, "speaker", split=self.manifest)
        speakers = set(speaker_of.values())
        for what, names in (
            ("names speakers that the corpus lacks", sorted(subset_of.keys() - speakers)),
            ("leaves out speakers of the corpus", sorted(speakers - subset_of.keys())),
        ):
            if names:
                raise InputError(
                    f"folds {self.manifest!r}: the file {what}: {', '.join(names)}; use the corpus it was made for, or"
                    " draw folds with split=speaker"
                )
        return split_by(utterances, {id_: subset_of[speaker] for id_, speaker in speaker_of.items()}, fold=self.fold)
