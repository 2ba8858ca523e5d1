"""``ser-prepare``: download or verify a corpus and fill the feature cache."""

import sys
from collections import Counter

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ser_lightning.assemble import assemble_preparation
from ser_lightning.cli import hydra_app
from ser_lightning.corpora.utterance import ProblemsError
from ser_lightning.progress import show_progress
from ser_lightning.splits.split import SUBSETS


def main() -> None:
    """Run the console script ``ser-prepare``."""
    hydra_app.run("ser-prepare", "prepare", prepare)


def prepare(config: DictConfig) -> None:
    """Scan and split the corpus, compute its features, and print a summary and the rejected files."""
    plain = hydra_app.plain(config)
    console = Console(width=None if sys.stdout.isatty() else 1000)  # does not wrap paths in a file or pipe
    data = assemble_preparation(plain, progress=show_progress("features"))
    try:
        data.prepare()
    except ProblemsError as refused:
        _print_files(console, "refused", [(problem.path, problem.reason) for problem in refused.problems])
        raise
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
    console.print(f"feature cache: {data.cache.folder}", highlight=False)
    _print_files(
        console,
        "not trimmed: no speech was detected, or the clip ends before audio.offset_s",
        [(id_, "") for id_ in data.nothing_voiced],
    )
    _print_files(console, "refused and left out", [(problem.path, problem.reason) for problem in data.problems])


def _print_files(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    table = Table("file", "reason", title=f"{title}: {len(rows)}")
    for row in rows:
        table.add_row(*map(escape, row))  # file names may contain brackets, which are not markup
    console.print(table)
