"""Assignment of utterances to the training, validation and test subsets."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, printable

SUBSETS = ("train", "val", "test")
UNUSED = "unused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Utterance ids of each subset, each sorted.

    Args:
        train: ids of the training set
        val: ids of the validation set, by which a checkpoint is chosen
        test: ids of the test set
        unused: ids that a protocol leaves out on purpose

    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def subset_of(self) -> dict[str, str]:
        """Return the subset of every utterance id; left-out utterances map to ``unused``."""
        return {id_: subset for subset in (*SUBSETS, UNUSED) for id_ in getattr(self, subset)}


def require_field(utterances: Iterable[Utterance], field: str, *, split: str) -> dict[str, str]:
    """Return the value of a field of every utterance, by id.

    Args:
        utterances: the corpus
        field: ``"speaker"``, ``"statement"`` or ``"split"``
        split: option of the split that needs the field, for the message

    Raises:
        InputError: an utterance has no value

    """
    values = {utterance.id: getattr(utterance, field) for utterance in utterances}
    missing = sorted(id_ for id_, value in values.items() if value is None)
    if missing:
        raise InputError(
            f"split={split} needs the {field} of every utterance, but {len(missing)} of {len(values)} have none, such"
            f" as {printable(missing[0])}; give a table the column {field} (another name by"
            f" corpus.columns.{field}=<name>), or use another split, such as split=random"
        )
    return values


def check_split(
    split: Split, utterances: Sequence[Utterance], *, source: str, needed: Sequence[str] = SUBSETS
) -> Split:
    """Return ``split`` if it is disjoint, covers the corpus exactly and has all needed subsets.

    Args:
        split: the split to check
        utterances: the corpus
        source: name of the split in error messages
        needed: subsets that must not be empty; cross-corpus evaluation needs only a test set

    Raises:
        InputError: an utterance is in two subsets, in no subset or not in the corpus; a needed subset is empty

    """
    seen: dict[str, str] = {}
    for subset in (*SUBSETS, UNUSED):
        ids = getattr(split, subset)
        if not ids and subset in needed:
            raise InputError(f"{source}: the {subset} subset is empty; give it utterances")
        for id_ in ids:
            if id_ in seen:
                raise InputError(
                    f"{source}: utterance {id_} is in {seen[id_]} and in {subset}; subsets must be disjoint"
                )
            seen[id_] = subset
    corpus = {utterance.id for utterance in utterances}
    if seen and corpus.isdisjoint(seen):
        raise InputError(
            f"{source} is of another corpus: it names none of these {len(corpus)} clips; draw a split of them, with"
            " split=random or split=speaker"
        )
    for what, ids, total in (
        ("names utterances that the corpus lacks", sorted(seen.keys() - corpus), len(seen)),
        ("leaves out utterances of the corpus", sorted(corpus - seen.keys()), len(corpus)),
    ):
        if ids:
            raise InputError(
                f"{source} {what}: {len(ids)} of {total}, the first is {ids[0]}; use the corpus it was made for,"
                " or draw a new split with split=random"
            )
    return split


def write_split(path: str | Path, split: Split, utterances: Sequence[Utterance]) -> None:
    """Write the CSV columns ``utterance,speaker,emotion,subset``, one row per utterance, in the order given."""
    subset_of = split.subset_of()
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["utterance", "speaker", "emotion", "subset"])
        for utterance in utterances:
            writer.writerow([utterance.id, utterance.speaker, utterance.emotion, subset_of[utterance.id]])


def write_rows(
    path: str | Path, members: Mapping[str, Sequence[tuple[str, str]]], utterances: Sequence[Utterance]
) -> None:
    """Write the CSV columns ``utterance,copy,speaker,emotion,subset``; copies of a clip may be in several subsets.

    Args:
        path: the CSV file
        members: utterance id and name of the copy of every row, by subset; the name of the original clip is empty
        utterances: the corpus

    """
    by_id = {utterance.id: utterance for utterance in utterances}
    rows = sorted((id_, copy, subset) for subset, keys in members.items() for id_, copy in keys)
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["utterance", "copy", "speaker", "emotion", "subset"])
        writer.writerows([id_, copy, by_id[id_].speaker, by_id[id_].emotion, subset] for id_, copy, subset in rows)


def read_split(path: str | Path) -> Split:
    """Read the columns ``utterance`` and ``subset`` of a CSV file; lines that start with ``#`` are comments.

    Raises:
        InputError: the file is missing, unreadable or no valid CSV; it lacks a column, repeats an utterance or has an
            unknown subset

    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the split manifest {path}: {error}; give a CSV of utterance,subset") from error
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    members: dict[str, list[str]] = {subset: [] for subset in (*SUBSETS, UNUSED)}
    seen = set()
    try:
        if not {"utterance", "subset"} <= set(reader.fieldnames or ()):
            raise InputError(f"{path}: expected the columns utterance and subset, but got {reader.fieldnames}")
        for row in reader:
            id_, subset = row["utterance"], row["subset"]
            if not id_ or subset not in members:
                raise InputError(f"{path}: utterance {id_!r} has subset {subset!r}, expected one of {(*members,)}")
            if id_ in seen:
                raise InputError(f"{path}: utterance {printable(id_)} is listed twice; subsets must be disjoint")
            seen.add(id_)
            members[subset].append(id_)
    except csv.Error as error:
        raise InputError(f"{path} is no CSV: {error}; give a CSV of utterance,subset") from error
    return Split(**{subset: tuple(sorted(ids)) for subset, ids in members.items()})
