"""Write the answer of a report in sentences, and the cautions that belong to it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ser_lightning.report.arms import Comparison
from ser_lightning.report.contrasts import Contrast, Contrasts
from ser_lightning.report.metrics import HEADLINE
from ser_lightning.report.runs import LeftOut, Run
from ser_lightning.report.statistics import Pair, PairedDifference
from ser_lightning.report.tables import interval_text, summaries

LEVEL = 0.05
SPEAKERS_HEARD = "same speaker in training"  # name of the leak check for speakers shared with the training set
FEW = 6  # pairs; with 5, even a win at every seed is not significant in a sign test (p = 2 / 2**5 > 0.05)
SYNTHETIC = (
    "These numbers are of synthetic speech: they show that the experiment runs, and say nothing of human emotion."
)


def is_synthetic(comparison: Comparison) -> bool:
    """Return whether any run was trained on synthetic speech."""
    return any("synthetic" in run.corpus["name"].lower() for run in comparison.runs)


def answer(comparison: Comparison, found: Contrasts) -> str:
    """Write one sentence per arm about its difference in test accuracy from the baseline.

    A difference is claimed only if its 95 % interval over pairs excludes zero and, with several arms, its p-value is
    below 5 % after Holm's adjustment. A claimed difference that is not shown over speakers is qualified as such.

    Args:
        comparison: the arms and their runs
        found: arm -> metric -> contrast with the baseline

    """
    if not found:
        only = summaries(comparison, comparison.runs, [HEADLINE])[HEADLINE]
        spread = "" if only.sd is None else f" ± {only.sd:.1f}"
        return (
            f"Nothing to compare: {comparison.baseline} is the only value of {comparison.arm}; "
            f"its test accuracy is {only.mean:.1f}{spread} % over {_count(len(comparison.runs), 'run')}."
        )
    headline = {arm: metrics[HEADLINE] for arm, metrics in found.items()}
    text = " ".join(
        _sentence(f"{comparison.arm}={arm}", comparison.baseline, item, arms=len(found))
        for arm, item in headline.items()
    )
    claimed = [item.difference for item in headline.values() if _claimed(item, arms=len(found))]
    if claimed and min(len(item.pairs) for item in claimed) < FEW:
        text += " Few seeds: repeat with more before relying on it."
    return text


def _claimed(found: Contrast, *, arms: int) -> bool:
    p = found.p_holm["t"]
    return found.difference.excludes_zero and (arms == 1 or (p is not None and p < LEVEL))


def _sentence(arm: str, baseline: str, found: Contrast, *, arms: int) -> str:
    unit = f"points of {HEADLINE.title}"
    difference = found.difference
    if difference.mean is None:
        return f"No paired difference of {arm} and {baseline}: {difference.why_no_interval}."
    shown = f"{difference.mean:z.1f} {unit} with {arm} against {baseline}"
    pairs = pairs_text(difference)
    if difference.interval is None:
        where = f"at seed {difference.seeds[0]}" if len(difference.pairs) == 1 else f"at each of {pairs}"
        return f"No difference shown: {shown} {where}; {difference.why_no_interval}."
    low, high = difference.interval
    if not _claimed(found, arms=arms):
        p = found.p_holm["t"]
        holm = f", which does not hold among {arms} comparisons (p = {p:.2g} after Holm)" if low * high > 0 else ""
        return (
            f"No difference shown: {shown}, 95 % interval {interval_text(low, high)} over {pairs}{holm}; "
            f"{_price(found)}."
        )
    verb, edges = ("better", (low, high)) if low > 0 else ("worse", (-high, -low))
    return (
        f"{arm} is {verb} than {baseline} by {abs(difference.mean):.1f} {unit}, "
        f"95 % interval {interval_text(*edges)} over {pairs}{_for_others(found, low > 0)}."
    )


def _price(found: Contrast) -> str:
    more = found.more_seeds(1)
    if not more:
        return "these seeds are enough to settle 1 point"
    return f"{more:,} {'seed' if more == 1 else 'seeds'} more would settle 1 point"


def _for_others(found: Contrast, positive: bool) -> str:
    """Return the qualification of a claim whose interval over speakers is missing or includes zero; may be empty."""
    if found.speakers is None or found.speakers.interval is None:
        return "; whether it holds for other speakers cannot be told"
    low, high = found.speakers.interval
    if (low > 0) if positive else (high < 0):
        return ""
    return f"; for other speakers it is not shown (over speakers the interval is {interval_text(low, high)})"


def pairs_text(difference: PairedDifference) -> str:
    """Return the number of pairs in words, as paired seeds or, in a split with folds, as pairs of so many seeds."""
    pairs, seeds = len(difference.pairs), len(set(difference.seeds))
    if all(isinstance(pair, int) for pair in difference.pairs):
        return f"{pairs} paired seeds"
    return f"{_count(pairs, 'pair')} of {_count(seeds, 'seed')} and their folds"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def cautions(comparison: Comparison, found: Contrasts, left_out: Sequence[LeftOut]) -> list[str]:
    """Return the cautions that a reader needs before relying on the answer.

    Args:
        comparison: the arms and their runs
        found: arm -> metric -> contrast with the baseline
        left_out: the run folders that were excluded from the report

    """
    notes = []
    pairs = min((len(metrics[HEADLINE].difference.pairs) for metrics in found.values()), default=FEW)
    if pairs < FEW:
        notes.append(
            f"Few seeds: with fewer than {FEW} pairs even the same winner at every seed may be chance, and "
            "the intervals lean on the assumption that the differences are normally distributed."
        )
    if len(found) > 1:
        notes.append(
            f"{len(found)} arms are compared with {comparison.baseline}, and each interval is of 95 % by itself: "
            "a difference is claimed only if it also holds after Holm's adjustment."
        )
    notes += _about_varied(comparison) + _about_test_sets(comparison) + _about_pairs(comparison)
    if comparison.folds:
        notes.append(
            "The folds of one seed share training clips: their pairs are not quite independent, and the interval over "
            "pairs may be too narrow."
        )
    notes += _about_leaks(comparison.runs)
    notes += _about_origin(comparison.runs)
    if left_out:
        one = len(left_out) == 1
        notes.append(f"{len(left_out)} run folder{' was' if one else 's were'} left out, listed with the reasons.")
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
    tested = {arm: {run.pair: run.test_set for run in runs} for arm, runs in comparison.arms.items()}
    baseline = tested[comparison.baseline]
    unlike = {
        pair for sets in tested.values() for pair in sets.keys() & baseline.keys() if sets[pair] != baseline[pair]
    }
    if unlike:
        return [
            f"The arms were tested on different utterances at {_pairs(unlike)}: a pair there is not a fair pair, "
            "and nothing is counted clip by clip or speaker by speaker."
        ]
    runs = comparison.runs
    if len({run.test_set for run in runs}) == 1 and len(runs) > 1:
        clips = runs[0].clips["test"]
        what = "clips and altered copies" if clips.altered else "utterances"
        return [
            f"Every run was tested on the same {len(clips.utterance)} {what} of {len(clips.speakers)} speakers: "
            "the spread over runs is that of the seed. What other speakers might give is told by the intervals over "
            "speakers alone."
        ]
    return []


def _about_pairs(comparison: Comparison) -> list[str]:
    pairs = {arm: {run.pair for run in runs} for arm, runs in comparison.arms.items()}
    everywhere = set.intersection(*pairs.values())
    notes = []
    for arm, own in pairs.items():
        if lonely := own - everywhere:
            notes.append(
                f"Not every arm has {_pairs(lonely)} of {arm}: "
                "counted in the means of its arm, and in pairs only where there is a partner."
            )
    folds = set(comparison.folds)
    if lacking := [
        f"seed {seed} of {arm}"
        for arm, runs in comparison.arms.items()
        for seed in sorted({run.seed for run in runs})
        if folds and {run.fold for run in runs if run.seed == seed} != folds
    ]:
        notes.append(
            f"Folds are missing of {', '.join(lacking)}: left out of the mean and spread of the arm; pairs still count."
        )
    return notes


def _pairs(pairs: Iterable[Pair]) -> str:
    names = [str(pair) if isinstance(pair, int) else f"{pair[0]} (fold {pair[1]})" for pair in sorted(pairs)]
    return ("seed " if len(names) == 1 else "seeds ") + ", ".join(names)


def _about_leaks(runs: Sequence[Run]) -> list[str]:
    leaks = [str(run.audit["summary"]) for run in runs if run.audit.get("leak")]
    notes = []
    if leaks:
        where = "every run" if len(leaks) == len(runs) else f"{len(leaks)} of {len(runs)} runs"
        notes.append(f"The audit of {where} found {leaks[0]}.")
    heard = [
        finding["sentence"]
        for run in runs
        for finding in run.audit.get("findings", ())
        if finding["name"] == SPEAKERS_HEARD and finding["found"]
    ]
    if heard:
        notes.append(f"{heard[0]}: nothing here says how well a new speaker is recognised.")
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
    if len(devices := Counter(run.device for run in runs)) > 1:
        shares = ", ".join(f"{count} on {device}" for device, count in sorted(devices.items()))
        notes.append(f"The runs were trained on several devices, each with a rounding of its own: {shares}.")
    if problems := max(len(run.corpus["problems"]) for run in runs):
        notes.append(f"{problems} files of the corpus are missing or could not be used.")
    return notes
