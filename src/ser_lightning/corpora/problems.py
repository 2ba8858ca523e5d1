"""Decide whether the problems of a corpus are accepted, and summarize them in one line."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ser_lightning.corpora.utterance import Problem, ProblemsError, Scan, Utterance
from ser_lightning.errors import printable

OnProblem = Literal["error", "skip"]
"""``"error"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them."""

Downmix = Literal["mean", "interleave", "right"]
"""Name of a rule that mixes several channels into one, see :func:`ser_lightning.audio.reader.to_mono`."""


def finish_scan(
    source: Path,
    utterances: Iterable[Utterance],
    problems: Iterable[Problem],
    *,
    left_out: Iterable[Problem],
    on_problem: OnProblem,
    check: str = "corpus.root",
) -> Scan:
    """Return the result of a scan, or raise an error if its problems are not accepted.

    Args:
        source: folder or table of the corpus, for the message
        utterances: the usable recordings
        problems: one per unusable or missing recording
        left_out: recordings that are left out on purpose; they are listed but raise no error
        on_problem: ``"error"`` or ``"skip"``
        check: key of the config to check if no recording is usable

    Raises:
        ProblemsError: there are problems, and ``on_problem`` is ``"error"`` or no recording is usable

    """
    usable = tuple(sorted(utterances, key=lambda utterance: utterance.id))
    faults = tuple(sorted(problems, key=_order))
    if faults and (on_problem == "error" or not usable):
        remedy = (
            "fix them, or set corpus.on_problem=skip to continue without these recordings (the run lists them)"
            if usable
            else f"no usable recording remains; check {check}"
        )
        count = f"{len(faults)} problem{'s' * (len(faults) > 1)}"
        raise ProblemsError(f"{printable(source)}: {count}: {_by_kind(faults)}; {remedy}", faults)
    return Scan(utterances=usable, problems=(*sorted(left_out, key=lambda problem: problem.path), *faults))


def _order(problem: Problem) -> tuple[bool, list[tuple[int, str]]]:
    """Sort missing recordings last, and row 2 before row 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", problem.path)
    return problem.reason == "missing", [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _by_kind(problems: Iterable[Problem]) -> str:
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        copy = problem.reason.startswith("duplicate of ")
        kinds["duplicate" if copy else problem.reason.partition(": ")[0]].append(problem)
    return "; ".join(_describe_kind(kind, group) for kind, group in kinds.items())


def _describe_kind(kind: str, group: Sequence[Problem]) -> str:
    """Return the number of problems of a kind, the first three, and the details of the first."""
    first = group[0]
    if len(group) == 1:
        return f"{first.path}: {first.reason}"
    paths = ", ".join(problem.path for problem in group[:3]) + ", ..." * (len(group) > 3)
    details = first.reason.partition(": ")[2]
    return f"{len(group)} x {kind} ({paths})" + (f", the first: {details}" if details else "")
