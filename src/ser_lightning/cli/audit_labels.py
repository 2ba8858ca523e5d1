"""Look for label errors in a corpus, as a part of ``ser-audit``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.label_errors import Suspect, find_label_errors, write_suspects
from ser_lightning.output_checks import check_output

LISTED = 10  # suspects that are printed


def check_labels(output: str | None, folds: object, c: object) -> None:
    """Check the section ``labels`` of the config before long work.

    Raises:
        InputError: a value is out of range, or the file cannot be written

    """
    if not isinstance(folds, int) or folds < 2:
        raise InputError(f"labels.folds is {folds!r}; expected a whole number of at least 2")
    if isinstance(c, bool) or not isinstance(c, int | float) or not c > 0:
        raise InputError(f"labels.c is {c!r}; expected a positive number")
    if output is not None:
        check_output(output, formats=(".csv",), default=".csv")


def audit_labels(
    config: Mapping[str, Any], path: Path, *, emotions: Sequence[str], folds: int, c: float, console: Console
) -> None:
    """Find the suspected label errors of a corpus, write them to a CSV file and print the first of them.

    Args:
        config: resolved config of a run
        path: the CSV file
        emotions: emotions of the corpus
        folds: number of folds of speakers
        c: inverse regularization strength of the classifier
        console: the terminal

    Raises:
        InputError: the corpus has a single speaker or emotion

    """
    utterances, emotions, suspects = find_label_errors(config, emotions=emotions, folds=folds, c=c)
    write_suspects(path, suspects, utterances=utterances, emotions=emotions)
    _print(console, suspects, utterances, emotions)
    print(path)


def _print(
    console: Console, suspects: Sequence[Suspect], utterances: Sequence[Utterance], emotions: Sequence[str]
) -> None:
    title = f"suspected label errors: {len(suspects)} of {len(utterances)} clips"
    table = Table("utterance", "label", "may be", "probability of the label", "of the other", title=title)
    for each in suspects[:LISTED]:
        clip, shares = utterances[each.clip], (each.label_probability, each.suggestion_probability)
        table.add_row(clip.id, clip.emotion, emotions[each.suggestion], *(f"{share:.2f}" for share in shares))
    console.print(table)
