"""Findings of the leakage checks.

A finding has one of four severities. ``leak``: information about evaluated clips reached training or the choice of the
checkpoint, which invalidates the result. ``shared``: something that subsets share by design of the protocol, such as
speakers; it limits what a result can claim. ``corpus error``: a fault of the corpus folder, such as duplicate files,
that this project corrects and other programs may not. ``unchecked``: something that cannot be checked, because the
corpus does not give what the check compares.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAK, CORPUS_ERROR, SHARED, UNCHECKED = "leak", "corpus error", "shared", "unchecked"
EVALUATED = ("test", "val")
EXAMPLES = 3
NO_LEAK = "no leak found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Result of one check.

    Args:
        name: name of the check
        severity: how serious the finding is if ``found``: leak, corpus error, shared or unchecked
        found: whether the check found anything
        counts: number of items found and number of items checked, by subset
        sentence: the result as text
        examples: pairs of names, such as a test clip and its other take

    """

    name: str
    severity: str
    found: bool
    counts: Mapping[str, tuple[int, int]]
    sentence: str
    examples: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain types."""
        return {
            "name": self.name,
            "severity": self.severity,
            "found": self.found,
            "counts": {subset: {"count": count, "of": of} for subset, (count, of) in self.counts.items()},
            "sentence": self.sentence,
            "examples": [list(pair) for pair in self.examples],
        }


def summarize_findings(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return the leak section of a result: whether there is a leak, a summary as text and all findings."""
    findings = list(findings)
    leaks, unchecked = (
        [finding.sentence for finding in findings if finding.found and finding.severity == severity]
        for severity in (LEAK, UNCHECKED)
    )
    return {
        "leak": bool(leaks),
        "summary": "; ".join(["leaks: " + "; ".join(leaks) if leaks else NO_LEAK, *unchecked]),
        "findings": [finding.as_dict() for finding in findings],
    }


def count_pairs(
    name: str,
    severity: str,
    pairs: Mapping[str, Sequence[tuple[str, str]]],
    totals: Mapping[str, int],
    what: str,
) -> Finding:
    """Return the finding of a check that compares every item of a subset.

    Args:
        name: name of the check
        severity: how serious it is if there is a pair
        pairs: each item found and the item that it matches, by subset
        totals: number of items checked, by subset
        what: end of the sentence after the counts

    """
    counts = {subset: (len(subset_pairs), totals[subset]) for subset, subset_pairs in pairs.items()}
    affected = {subset: count for subset, count in counts.items() if count[0]} or counts
    *most, last = (f"{count} of {total} {subset}" for subset, (count, total) in affected.items())
    return Finding(
        name=name,
        severity=severity,
        found=any(count for count, _ in counts.values()),
        counts=counts,
        sentence=f"{', '.join(most)}{' and ' * bool(most)}{last} {what}",
        examples=tuple(pair for subset_pairs in pairs.values() for pair in subset_pairs)[:EXAMPLES],
    )
