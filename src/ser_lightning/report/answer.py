"""The answer of a report in words, and what to bear in mind with it."""

from collections.abc import Mapping, Sequence

from ser_lightning.report.arms import Comparison
from ser_lightning.report.runs import LeftOut, Run
from ser_lightning.report.statistics import PairedDifference
from ser_lightning.report.tables import HEADLINE, interval_text, summaries

FEW = 6  # pairs; with fewer, not even a win at every seed is significant in a sign test (2 / 2**5 > 0.05)
SYNTHETIC = (
    "These numbers are of synthetic speech: they show that the experiment runs, and say nothing of human emotion."
)


def is_synthetic(comparison: Comparison) -> bool:
    """Whether any run heard made-up speech."""
    return any("synthetic" in run.corpus["name"].lower() for run in comparison.runs)


def answer(comparison: Comparison, found: Mapping[str, PairedDifference]) -> str:
    """Say what the test accuracies allow to be said: a sentence for each arm against the baseline.

    Args:
        comparison: the arms
        found: arm -> paired difference of the test accuracy, in points

    """
    if not found:
        only = summaries(comparison.runs, [HEADLINE])[HEADLINE]
        spread = "" if only.sd is None else f" ± {only.sd:.1f}"
        runs = f"{only.n} run" if only.n == 1 else f"{only.n} runs"
        return (
            f"Nothing to compare: {comparison.baseline} is the only value of {comparison.arm}; "
            f"its test accuracy is {only.mean:.1f}{spread} % over {runs}."
        )
    text = " ".join(_sentence(arm, comparison.baseline, item) for arm, item in found.items())
    claimed = [item for item in found.values() if item.excludes_zero]
    if claimed and min(len(item.seeds) for item in claimed) < FEW:
        text += " Few seeds: repeat with more before relying on it."
    return text


def _sentence(arm: str, baseline: str, found: PairedDifference) -> str:
    unit = f"points of {HEADLINE.title}"
    if found.mean is None:
        return f"No paired difference of {arm} and {baseline}: {found.why_no_interval}."
    mean = f"{found.mean:z.1f}"
    pairs = f"{len(found.seeds)} paired seeds"
    if found.interval is None:
        where = f"at seed {found.seeds[0]}" if len(found.seeds) == 1 else f"at each of {pairs}"
        return f"No difference shown: {arm} - {baseline} = {mean} {unit} {where}; {found.why_no_interval}."
    low, high = found.interval
    if not found.excludes_zero:
        return (
            f"No difference shown: {arm} - {baseline} = {mean} {unit}, "
            f"95 % interval {interval_text(low, high)} over {pairs}."
        )
    verb, edges = ("better", (low, high)) if low > 0 else ("worse", (-high, -low))
    return (
        f"{arm} is {verb} than {baseline} by {abs(found.mean):.1f} {unit}, "
        f"95 % interval {interval_text(*edges)} over {pairs}."
    )


def cautions(comparison: Comparison, found: Mapping[str, PairedDifference], left_out: Sequence[LeftOut]) -> list[str]:
    """What a reader must know before believing the answer.

    Args:
        comparison: the arms
        found: arm -> paired difference of the test accuracy, in points
        left_out: the runs that are not part of the report

    """
    notes = []
    pairs = min((len(item.seeds) for item in found.values()), default=FEW)
    if pairs < FEW:
        notes.append(
            f"Few seeds: with fewer than {FEW} pairs even the same winner at every seed may be chance, and "
            "the intervals lean on the assumption that the differences are normally distributed."
        )
    if len(found) > 1:
        notes.append(
            f"{len(found)} arms are compared with {comparison.baseline}, each at 95 % by itself: "
            "with more arms a chance finding is more likely."
        )
    notes += _about_varied(comparison) + _about_test_sets(comparison) + _about_seeds(comparison)
    notes += _about_origin(comparison.runs)
    if left_out:
        one = len(left_out) == 1
        notes.append(f"{len(left_out)} run folder{' was' if one else 's were'} left out, listed below.")
    return notes


def _about_varied(comparison: Comparison) -> list[str]:
    if comparison.bundle and len(comparison.varied) > 1:
        return [
            f"{comparison.arm} changes {len(comparison.varied)} config keys at once: "
            "a difference belongs to all of them together."
        ]
    if len(comparison.arms) > 1 and not comparison.varied:
        return [f"No config key differs between the arms of {comparison.arm}: they may be the same experiment."]
    return []


def _about_test_sets(comparison: Comparison) -> list[str]:
    tested = {arm: {run.seed: run.test_set for run in runs} for arm, runs in comparison.arms.items()}
    baseline = tested[comparison.baseline]
    unlike = sorted(
        {seed for sets in tested.values() for seed in sets.keys() & baseline.keys() if sets[seed] != baseline[seed]}
    )
    if unlike:
        seeds = ", ".join(map(str, unlike))
        return [f"The arms were tested on different utterances at seed {seeds}: a pair there is not a fair pair."]
    if len({run.test_set for run in comparison.runs}) == 1 and len(comparison.runs) > 1:
        count = int(comparison.runs[0].confusion["test"].sum())
        return [
            f"Every run was tested on the same {count} utterances: the spread is that of the seed, "
            "and tells nothing of other speakers or recordings."
        ]
    return []


def _about_seeds(comparison: Comparison) -> list[str]:
    seeds = {arm: {run.seed for run in runs} for arm, runs in comparison.arms.items()}
    everywhere = set.intersection(*seeds.values())
    notes = []
    for arm, own in seeds.items():
        if lonely := sorted(own - everywhere):
            listed = ", ".join(map(str, lonely))
            notes.append(
                f"Not every arm has seed {listed} of {arm}: "
                "counted in the means of its arm, and in pairs only where there is a partner."
            )
    return notes


def _about_origin(runs: Sequence[Run]) -> list[str]:
    notes = []
    commits = {str(run.git.get("commit")) for run in runs}
    if len(commits) > 1:
        notes.append(f"The runs were made at {len(commits)} commits: {', '.join(sorted(commits))}.")
    if dirty := sum(bool(run.git.get("dirty")) for run in runs):
        notes.append(f"{dirty} of {len(runs)} runs were made with uncommitted changes in the code.")
    for package in sorted({package for run in runs for package in run.versions}):
        versions = sorted({str(run.versions.get(package)) for run in runs})
        if len(versions) > 1:
            notes.append(f"The runs were made with several versions of {package}: {', '.join(versions)}.")
    if problems := max(len(run.corpus["problems"]) for run in runs):
        notes.append(f"{problems} files of the corpus are missing or could not be used.")
    return notes
