"""Look for label errors in a corpus, as a part of ``ser-audit``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from ser_lightning.assemble import assemble_preparation
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.label_errors import Suspect, held_out_probabilities, suspects, write_suspects
from ser_lightning.output_checks import check_output
from ser_lightning.progress import show_progress
from ser_lightning.splits.everything import EveryKnownClip

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
    utterances, vectors = clip_vectors(config, emotions=emotions)
    present = {utterance.emotion for utterance in utterances}
    emotions = [emotion for emotion in emotions if emotion in present]
    targets = np.array([emotions.index(utterance.emotion) for utterance in utterances])
    speakers = [f"{utterance.corpus}/{utterance.speaker}" if utterance.speaker else "" for utterance in utterances]
    found = suspects(held_out_probabilities(vectors, targets, speakers, folds=folds, c=c), targets)
    write_suspects(path, found, utterances=utterances, emotions=emotions)
    _print(console, found, utterances, emotions)
    print(path)


def clip_vectors(
    config: Mapping[str, Any], *, emotions: Sequence[str]
) -> tuple[Sequence[Utterance], npt.NDArray[np.float64]]:
    """Return the clips of a corpus and the vector of each: its features, or the mean and deviation of its frames.

    Args:
        config: resolved config of a run
        emotions: emotions of the corpus

    Returns:
        the N clips, and their vectors (N, F) or (N, 2 F)

    """
    plain = {**config, "data": {**config["data"], "augment_first": False, "eval_copies": False}}
    preparation = assemble_preparation(
        plain, progress=show_progress("features"), split=EveryKnownClip(emotions=emotions)
    )
    preparation.prepare()
    rows = [preparation.rows[utterance.id, ""] for utterance in preparation.utterances]
    clips = [preparation.frames[row.offset : row.offset + row.frames].astype(np.float64) for row in rows]  # (K, F)
    if all(len(frames) == 1 for frames in clips):
        return preparation.utterances, np.concatenate(clips)
    return preparation.utterances, np.stack([np.concatenate([frames.mean(0), frames.std(0)]) for frames in clips])


def _print(
    console: Console, suspects: Sequence[Suspect], utterances: Sequence[Utterance], emotions: Sequence[str]
) -> None:
    title = f"suspected label errors: {len(suspects)} of {len(utterances)} clips"
    table = Table("utterance", "label", "may be", "probability of the label", "of the other", title=title)
    for each in suspects[:LISTED]:
        clip, shares = utterances[each.clip], (each.label_probability, each.suggestion_probability)
        table.add_row(clip.id, clip.emotion, emotions[each.suggestion], *(f"{share:.2f}" for share in shares))
    console.print(table)
