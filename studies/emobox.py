"""``make emobox``: check the partitions of the EmoBox benchmark (Ma et al. 2024, arXiv 2406.07162) for leakage.

The fold files name recordings of published corpora, whose file names give speaker, sentence and take. Where a corpus is
at hand (its ``*_ROOT`` variable is set), ``ser-audit`` compares the audio too.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from studies.study import exit_on_input_error, run_audit

from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.corpora.emobox import FILE, SUBSETS
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, printable
from ser_lightning.report.tables import markdown
from ser_lightning.splits.audit import audit_split
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.split import Split, write_split

CORPORA = {"cremad": "crema_d"}  # EmoBox's names of corpora that this project names otherwise
TITLE = "# Leakage in the partitions of EmoBox"
NO_AUDIO = Contents(samples={}, near=(), unread={})
OF_AUDIO = ("identical audio across subsets", "near duplicates across subsets")
CHECKS = {
    "same speaker in training": "speaker in training",
    "other take in training": "other take in training",
    "same statement in training": "sentence in training",
    OF_AUDIO[0]: "identical audio in training",
    OF_AUDIO[1]: "near duplicate in training",
}


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold of a corpus.

    Args:
        corpus: name of the corpus in this project
        name: name of the fold, such as ``fold_1``
        utterances: its recordings, without audio
        split: their subsets

    """

    corpus: str
    name: str
    utterances: Sequence[Utterance]
    split: Split


def read_folds(data: Path) -> Iterator[Fold]:
    """Yield all folds of all corpora in EmoBox's folder ``data``.

    Raises:
        InputError: there is no fold, or a line does not name a recording of the corpus

    """
    folders = sorted(data.glob("*/fold_*"))
    if not folders:
        raise InputError(f"{printable(data)} has no <corpus>/fold_<n>; give the folder data of a copy of EmoBox")
    for folder in folders:
        corpus = CORPORA.get(folder.parent.name, folder.parent.name)
        if corpus not in DEFINITIONS:
            raise InputError(f"{printable(folder)}: the grammar of {corpus} is not known; remove the folder")
        yield _read_fold(folder, corpus)


def _read_fold(folder: Path, corpus: str) -> Fold:
    utterances, members = [], {subset: list[str]() for subset in SUBSETS.values()}
    for path in sorted(folder.glob("*.jsonl")):
        match = FILE.fullmatch(path.name)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                recording = PurePath(json.loads(line)["wav"])
                annotation = DEFINITIONS[corpus].parse(recording)
            except (InputError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{printable(path)}, row {number}: {error}") from error
            if match is not None:
                members[SUBSETS[match["split"]]].append(annotation["id"])
                utterances.append(Utterance(**annotation, corpus=corpus, path=Path(recording), digest=""))
    split = Split(**{subset: tuple(sorted(ids)) for subset, ids in members.items()})
    return Fold(corpus=corpus, name=folder.name, utterances=utterances, split=split)


def audit(fold: Fold, folder: Path) -> dict[str, Any]:
    """Return the findings of a fold by name, and whether the audio was compared.

    Args:
        fold: the fold
        folder: folder to which the split and the findings are written

    """
    root = os.environ.get(f"{fold.corpus.upper()}_ROOT")
    path = folder / fold.corpus / f"{fold.name}.csv"
    if root is None:
        findings = [finding.as_dict() for finding in audit_split(fold.utterances, fold.split, NO_AUDIO)]
    else:
        write_split(path, fold.split, fold.utterances)
        output = path.with_suffix(".json")
        run_audit(f"corpus={fold.corpus}", f"corpus.root={root}", "split=file", f"split.path={path}", output=output)
        findings = json.loads(output.read_text(encoding="utf-8"))["findings"]
    return {"audio": root is not None, "findings": {finding["name"]: finding for finding in findings}}


def table(audits: Mapping[str, Sequence[tuple[Fold, dict[str, Any]]]]) -> pd.DataFrame:
    """Return a table with one row per corpus: counts of test clips over all its folds.

    Args:
        audits: the folds of each corpus and their findings

    """
    rows = []
    for corpus, folds in audits.items():
        tested = sum(len(fold.split.test) for fold, _ in folds)
        speakers = {u.speaker for fold, _ in folds for u in fold.utterances}
        row = {
            "corpus": DEFINITIONS[corpus].title,
            "folds": len(folds),
            "speakers": len(speakers),
            "test clips": tested,
        }
        for name, heading in CHECKS.items():
            compared = all(fold_audit["audio"] for _, fold_audit in folds) or name not in OF_AUDIO
            count = sum(fold_audit["findings"][name]["counts"]["test"]["count"] for _, fold_audit in folds)
            row[heading] = f"{count} ({100 * count / tested:.0f} %)" if compared else "no audio"
        rows.append(row)
    return pd.DataFrame(rows)


def page(audits: Mapping[str, Sequence[tuple[Fold, dict[str, Any]]]]) -> str:
    """Return the page as Markdown."""
    shared = [
        DEFINITIONS[corpus].title
        for corpus, folds in audits.items()
        if any(fold_audit["findings"]["same speaker in training"]["found"] for _, fold_audit in folds)
    ]
    takes = [
        f"{DEFINITIONS[corpus].title} {fold.name}: {fold_audit['findings']['other take in training']['sentence']}"
        for corpus, folds in audits.items()
        for fold, fold_audit in folds
        if fold_audit["findings"]["other take in training"]["found"]
    ]
    disjoint = [DEFINITIONS[corpus].title for corpus in audits if DEFINITIONS[corpus].title not in shared]
    parts = [
        TITLE,
        "EmoBox (Ma et al. 2024, arXiv 2406.07162) publishes train and test files for many corpora. This page counts,"
        " over all folds of a corpus, the test clips that share something with the training clips of their fold.",
        markdown(table(audits)),
        f"The same speakers are in training and test: **{', '.join(shared) or 'no corpus'}**. Results on these folds"
        f" say nothing about new speakers. Disjoint in speakers: {', '.join(disjoint) or 'no corpus'}.",
        "Another take is a clip of the same speaker, emotion, intensity and sentence. By fold:\n\n"
        + "\n".join(f"- {sentence}" for sentence in takes)
        if takes
        else "",
        'Where the table says "no audio", only the file names were compared.',
        "Made by `make emobox EMOBOX=<EmoBox>/data DOCS=docs`, with `RAVDESS_ROOT`, `EMODB_ROOT` and `EMOVO_ROOT` set;"
        " the EmoBox files are those of commit 08280f2 of github.com/emo-box/EmoBox.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all folds and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies.emobox", description="Check EmoBox's folds for leakage.")
    parser.add_argument("data", type=Path, help="the folder data of a copy of EmoBox")
    parser.add_argument("folder", type=Path, help="folder for the splits, the findings and the page")
    parser.add_argument("--docs", type=Path, help="additional folder for the page, such as docs")
    parsed = parser.parse_args(arguments)

    def run() -> None:
        audits: dict[str, list[tuple[Fold, dict[str, Any]]]] = {}
        for fold in read_folds(parsed.data):
            audits.setdefault(fold.corpus, []).append((fold, audit(fold, parsed.folder)))
        for folder in (parsed.folder, *([parsed.docs] if parsed.docs else [])):
            with write_atomically(folder / "emobox.md") as file:
                file.write(page(audits))
        print(parsed.folder / "emobox.md")

    exit_on_input_error("emobox", run)


if __name__ == "__main__":
    main()
