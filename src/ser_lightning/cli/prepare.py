"""``ser-prepare``: download or verify a corpus and fill the feature cache."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ser_lightning.assemble import assemble_preparation
from ser_lightning.atomic import write_atomically
from ser_lightning.cli import hydra_app
from ser_lightning.cli.tables import plain_console
from ser_lightning.corpora.utterance import Problem, ProblemsError
from ser_lightning.data.preparation import Preparation
from ser_lightning.errors import InputError
from ser_lightning.progress import show_progress
from ser_lightning.splits.split import SUBSETS

LISTED = 10  # files in a list on the terminal


def main() -> None:
    """Run the console script ``ser-prepare``."""
    hydra_app.run("ser-prepare", "prepare", prepare)


def prepare(config: DictConfig) -> None:
    """Scan and split the corpus, compute its features, and print a summary, a data card and the rejected files.

    Of a shard, only the share of the features is computed.
    """
    plain = hydra_app.plain(config)
    card_folder = plain["data_card"]
    if card_folder is not None and not isinstance(card_folder, str):
        raise InputError(f"data_card is {card_folder!r}; expected a folder or null")
    console = plain_console()
    data = assemble_preparation(plain, progress=show_progress("features"))
    folder = None if card_folder is None else Path(card_folder) / data.corpus.name
    try:
        data.prepare()
    except ProblemsError as refused:
        _print_files(console, "refused", refused.problems, folder=folder)
        raise
    if data.shard is not None:
        console.print(
            f"shard {data.shard.number} of {data.shard.count}: {data.corpus.name}, scanned in"
            f" {data.seconds['scan']:.1f} s, prepared in {data.seconds['prepare']:.1f} s: {data.cache.file.data}",
        )
        return
    subset_of = data.split.subset_of()
    counts = Counter((utterance.emotion, subset_of[utterance.id]) for utterance in data.utterances)
    table = Table("emotion", *SUBSETS, title=f"{data.corpus.name}: {len(data.utterances)} utterances")
    for emotion in data.corpus.emotions:
        table.add_row(emotion, *(str(counts[emotion, subset]) for subset in SUBSETS))
    table.add_row("all", *(str(len(getattr(data.split, subset))) for subset in SUBSETS))
    if data.split.unused:
        table.caption = f"{len(data.split.unused)} utterances are left out by the split"
    console.print(table)
    speakers = len({utterance.speaker for utterance in data.utterances if utterance.speaker is not None})
    console.print(
        f"{speakers} speakers; {len(data.members['train'])} training clips with their copies;"
        f" scanned in {data.seconds['scan']:.1f} s, prepared in {data.seconds['prepare']:.1f} s"
    )
    console.print(f"feature cache: {data.cache.folder}")
    reason = "no speech was detected, or the clip ends before audio.offset_s"
    untrimmed = [Problem(path=id_, reason=reason) for id_ in data.without_speech]
    _print_files(console, "not trimmed", untrimmed, folder=folder)
    _print_files(console, "refused and left out", data.problems, folder=folder)
    if folder is not None:
        _make_card(console, data, folder)


def _make_card(console: Console, data: Preparation, folder: Path) -> None:
    # The figures need libraries that a command without a data card does not load.
    from ser_lightning.data_card.clip_audio import measure_clips
    from ser_lightning.data_card.describe import describe_corpus
    from ser_lightning.data_card.page import facts, warning_lines, write_card

    audio, contents = measure_clips(
        data.utterances, folder=data.cache_folder, workers=data.feature_workers, progress=show_progress("audio")
    )
    card = describe_corpus(
        data.utterances,
        data.problems,
        name=data.corpus.name,
        emotions=data.corpus.emotions,
        audio=audio,
        contents=contents,
    )
    paths = write_card(card, folder)
    table = Table(title=f"data card of {data.corpus.name}", show_header=False)
    for name, text in facts(card):
        table.add_row(name, text)
    console.print(table)
    for text in warning_lines(card):
        console.print(f"warning: {text}", soft_wrap=True)
    for path in paths:
        console.print(str(path), soft_wrap=True)


def _print_files(console: Console, title: str, problems: Sequence[Problem], *, folder: Path | None) -> None:
    """Print some files of a list, of as many kinds as possible; a longer one is written to ``folder`` as a CSV file."""
    if not problems:
        return
    table = Table("file", "reason", title=f"{title}: {len(problems)}")
    for problem in _first_of_each_kind(problems)[:LISTED]:
        table.add_row(problem.path, problem.reason)
    console.print(table)
    if len(problems) <= LISTED:
        return
    if folder is None:
        console.print(f"{len(problems) - LISTED} more; data_card=<folder> writes all of them to a file")
        return
    path = folder / f"{title.replace(' ', '_')}.csv"
    with write_atomically(path) as file:
        writer = csv.writer(file)
        writer.writerow(("file", "reason"))
        writer.writerows((problem.path, problem.reason) for problem in problems)
    console.print(f"{len(problems) - LISTED} more; all of them: {path}", soft_wrap=True)


def _first_of_each_kind(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems with the first of each kind at the front, then the second of each, and so on."""
    counts: Counter[str] = Counter()

    def number(problem: Problem) -> int:
        counts[problem.kind] += 1
        return counts[problem.kind]

    return sorted(problems, key=number)
