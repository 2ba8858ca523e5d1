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
from ser_lightning.cli.tables import plain_console
from ser_lightning.corpora.utterance import Problem
from ser_lightning.errors import InputError
from ser_lightning.leakage import audit_corpus
from ser_lightning.progress import show_progress
from ser_lightning.results import write_json
from ser_lightning.splits.findings import CORPUS_ERROR, LEAK, SHARED, Finding, summarize_findings
from ser_lightning.splits.split import SUBSETS

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
    data.scan()
    console = plain_console()
    _print_problems(console, data.problems)
    findings, roots, unread = audit_corpus(data, plain)
    section = summarize_findings(findings)
    sizes = {subset: len(getattr(data.split, subset)) for subset in SUBSETS}
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
