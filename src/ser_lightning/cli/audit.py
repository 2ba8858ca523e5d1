"""``ser-audit``: check a split for train/test leakage."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ser_lightning.assemble import assemble_preparation
from ser_lightning.cli import hydra_app
from ser_lightning.cli.audit_labels import audit_labels, check_labels
from ser_lightning.corpora.audio_files import list_corpus_files, sha256
from ser_lightning.corpora.rows import RowCorpus
from ser_lightning.corpora.utterance import Problem
from ser_lightning.data.content import read_contents
from ser_lightning.data.preparation import Corpus
from ser_lightning.errors import InputError
from ser_lightning.leakage import monitors
from ser_lightning.progress import show_progress
from ser_lightning.results import write_json
from ser_lightning.splits.audit import audit_folder, audit_split
from ser_lightning.splits.findings import CORPUS_ERROR, LEAK, SHARED, Finding, summarize_findings
from ser_lightning.splits.split import SUBSETS
from ser_lightning.splits.training_audit import (
    audit_choice,
    audit_encoder,
    audit_rows,
    audit_siblings,
    audit_statistics,
)

UNREAD, LEAKING = 3, 4  # exit codes
LISTED = 20  # maximum number of excluded files that are printed


def main() -> None:
    """Run the console script ``ser-audit``."""
    hydra_app.run("ser-audit", "audit", audit)


def audit(config: DictConfig) -> int:
    """Check a split of a corpus folder for leakage and return the exit code.

    The exit code is 4 if a leak or bug was found, otherwise 3 if a clip could not be read, otherwise 0.

    Raises:
        InputError: there is no corpus, the split does not fit it, or no clip can be read

    """
    plain = hydra_app.plain(config)
    output, labels = plain.pop("output"), plain.pop("labels")
    for key, path, kind in (("output", output, "JSON"), ("labels.output", labels["output"], "CSV")):
        if path is not None and not isinstance(path, str):
            raise InputError(f"{key} is {path!r}; expected the path of a {kind} file")
    check_labels(**labels)
    for part in plain["corpus"].get("parts", {"": plain["corpus"]}).values():
        if "on_problem" in part:
            part["on_problem"] = "skip"  # the audit reports unusable files and continues
    data = assemble_preparation(plain, progress=show_progress("features"))
    scan = data.corpus.scan()
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False)
    _print_problems(console, scan.problems)
    split, members = data.draw(scan.utterances)

    digests = {utterance.path: utterance.digest for utterance in scan.utterances}
    roots = _roots(data.corpus)
    files = (root / file for root in roots for file in list_corpus_files(root, follow_links=False)[0])
    left_out = {path: sha256(path) for path in files if path not in digests}
    contents = read_contents(
        {digest: path for path, digest in left_out.items()} | {u.content: u.path for u in scan.utterances},
        segments={utterance.content: utterance.segment for utterance in scan.utterances},
        workers=data.feature_workers,
        progress=show_progress("audio"),
    )
    if not any(utterance.content in contents.samples for utterance in scan.utterances):
        raise InputError(f"{next(iter(contents.unread.values()))}; no clip of {data.corpus.name} can be read")
    # Files that cannot be decoded are still compared by the hash of their bytes.
    used, unused = (
        {str(path): contents.samples.get(digest, digest) for path, digest in files.items()}
        for files in (digests, left_out)
    )
    encoder = getattr(data.features, "encoder_facts", None)
    findings = [
        audit_folder(used, unused),
        *audit_split(scan.utterances, split, contents),
        *([audit_rows(members, split), audit_siblings(members)] if data.augment_first else []),
        *([] if encoder is None else [audit_encoder(encoder, (u.corpus for u in scan.utterances))]),
        audit_statistics(updated=plain["evaluation"]["update_statistics"]),
        audit_choice(monitors(plain), checkpoint=plain["checkpoint"]),
    ]
    unread = [(str(u.path), contents.unread[u.content]) for u in scan.utterances if u.content in contents.unread]
    section = summarize_findings(findings)
    sizes = {subset: len(getattr(split, subset)) for subset in SUBSETS}
    _print_findings(console, findings, title=f"{data.corpus.name}: {'/'.join(map(str, sizes.values()))} utterances")
    for _, reason in unread:
        print(f"ser-audit: not compared: {reason}", file=sys.stderr)
    for finding in findings:
        if finding.found and finding.severity in (CORPUS_ERROR, SHARED):
            console.print(f"{finding.severity}: {finding.sentence}", soft_wrap=True)
    console.print(section["summary"], soft_wrap=True, style="bold" if section["leak"] else None)
    if output is not None:
        where = {"corpus": data.corpus.name, "root": ", ".join(map(str, roots))}
        content = {**where, "split": plain["split"], "counts": sizes, **section}
        write_json(Path(output), content | {"not_compared": [list(pair) for pair in unread]})
        print(output)
    if labels["output"] is not None:
        audit_labels(plain, Path(labels.pop("output")), emotions=data.corpus.emotions, **labels, console=console)
    if any(finding.found and finding.severity in (LEAK, CORPUS_ERROR) for finding in findings):
        return LEAKING
    return UNREAD if unread else 0


def _roots(corpus: Corpus) -> list[Path]:
    """Return the folders of the corpus and its parts whose files all belong to it, as those of a table need not."""
    parts = getattr(corpus, "parts", {"": corpus}).values()
    return [Path(getattr(part, "folder", None) or part.root) for part in parts if not isinstance(part, RowCorpus)]


def _print_problems(console: Console, problems: Sequence[Problem]) -> None:
    if not problems:
        return
    table = Table("file", "reason", title=f"left out: {len(problems)}")
    for problem in problems[:LISTED]:
        table.add_row(problem.path, problem.reason)
    if len(problems) > LISTED:
        table.add_row(
            "...", f"and {len(problems) - LISTED} more; ser-prepare corpus.on_problem=skip writes them all to a file"
        )
    console.print(table)


def _print_findings(console: Console, findings: Sequence[Finding], *, title: str) -> None:
    table = Table("check", "status", "train", "val", "test", "example", title=title)
    for finding in findings:
        counts = {subset: f"{count} of {total}" for subset, (count, total) in finding.counts.items()}
        example = " and ".join(finding.examples[0]) if finding.examples else ""
        status = finding.severity if finding.found else "not found"
        table.add_row(finding.name, status, *(counts.get(subset, "") for subset in SUBSETS), example)
    console.print(table)
