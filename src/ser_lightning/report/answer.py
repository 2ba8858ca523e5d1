"""Write the answer of a report in sentences, and the cautions that belong to it."""

from collections.abc import Iterable, Sequence

import pandas as pd

from ser_lightning.report.arms import Comparison
from ser_lightning.report.contrasts import Contrast, Contrasts, names_speakers, summary_over_seeds
from ser_lightning.report.runs import HEADLINE, MEASURES, LeftOut
from ser_lightning.report.statistics import Pair, PairedDifference
from ser_lightning.report.tables import interval_text

LEVEL = 0.05
SHARED_SPEAKERS = "same speaker in training"  # name of the leak check for speakers shared with the training set
FEW = 6  # pairs; with 5, even a win at every seed is not significant in a sign test (p = 2 / 2**5 > 0.05)
SYNTHETIC = (
    "These results are on synthetic speech: they show that the experiment runs, not how well emotion is recognized."
)


def is_synthetic(runs: pd.DataFrame) -> bool:
    """Return whether any run was trained on synthetic speech."""
    return any("synthetic" in corpus["name"].lower() for corpus in runs.corpus)


def answer(comparison: Comparison, contrasts: Contrasts) -> str:
    """Write one sentence per arm about its difference in test accuracy from the baseline.

    A difference is claimed only if its 95 % interval over pairs excludes zero and, with several arms, its p-value is
    below 5 % after Holm's adjustment. A claimed difference that is not shown over speakers is qualified as such.

    Args:
        comparison: the arms and their runs
        contrasts: arm -> metric -> contrast with the baseline

    """
    if not contrasts:
        summary = summary_over_seeds(comparison, comparison.baseline, HEADLINE)
        percent = "unknown" if summary is None else f"{summary.mean:.1f}"
        spread = "" if summary is None or summary.sd is None else f" ± {summary.sd:.1f}"
        return (
            f"Nothing to compare: {comparison.baseline} is the only value of {comparison.arm}; "
            f"its test accuracy is {percent}{spread} % over {_count(len(comparison.runs), 'run')}."
        )
    headline = {arm: measures[HEADLINE] for arm, measures in contrasts.items()}
    text = " ".join(
        _sentence(f"{comparison.arm}={arm}", comparison.baseline, contrast, arms=len(contrasts))
        for arm, contrast in headline.items()
    )
    claimed = [contrast.difference for contrast in headline.values() if is_claimed(contrast, arms=len(contrasts))]
    if claimed and min(len(difference.pairs) for difference in claimed) < FEW:
        text += " Few seeds: repeat with more before relying on it."
    return text


def is_claimed(contrast: Contrast, *, arms: int) -> bool:
    """Return whether a difference is claimed, with so many arms compared with the baseline."""
    p = contrast.p_holm["t"]
    return contrast.difference.excludes_zero and (arms == 1 or (p is not None and p < LEVEL))


def _sentence(arm: str, baseline: str, contrast: Contrast, *, arms: int) -> str:
    unit = f"points of {MEASURES[HEADLINE]}"
    difference = contrast.difference
    if difference.mean is None:
        return f"No paired difference of {arm} and {baseline}: {difference.why_no_interval}."
    measured = f"{difference.mean:z.1f} {unit} with {arm} against {baseline}"
    pairs = pairs_text(difference)
    if difference.interval is None:
        where = f"at seed {difference.seeds[0]}" if len(difference.pairs) == 1 else f"at each of {pairs}"
        return f"No difference shown: {measured} {where}; {difference.why_no_interval}."
    low, high = difference.interval
    if not is_claimed(contrast, arms=arms):
        p = contrast.p_holm["t"]
        holm = f", which does not hold among {arms} comparisons (p = {p:.2g} after Holm)" if low * high > 0 else ""
        return (
            f"No difference shown: {measured}, 95 % interval {interval_text(low, high)} over {pairs}{holm}; "
            f"{_seeds_needed(contrast)}."
        )
    verb, edges = ("better", (low, high)) if low > 0 else ("worse", (-high, -low))
    return (
        f"{arm} is {verb} than {baseline} by {abs(difference.mean):.1f} {unit}, "
        f"95 % interval {interval_text(*edges)} over {pairs}{_unseen_speakers(contrast, low > 0)}."
    )


def _seeds_needed(contrast: Contrast) -> str:
    more = contrast.more_seeds(1)
    if not more:
        return "these seeds are enough to detect 1 point"
    return f"{more:,} more {'seed' if more == 1 else 'seeds'} would detect 1 point"


def _unseen_speakers(contrast: Contrast, positive: bool) -> str:
    """Return the qualification of a claim whose interval over speakers is missing or includes zero; may be empty."""
    speakers = contrast.bootstrap_over_speakers
    if speakers is None or speakers.interval is None:
        return "; whether it holds for other speakers is unknown"
    low, high = speakers.interval
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


def cautions(comparison: Comparison, contrasts: Contrasts, left_out: Sequence[LeftOut]) -> list[str]:
    """Return the cautions that a reader needs before relying on the answer.

    Args:
        comparison: the arms and their runs
        contrasts: arm -> metric -> contrast with the baseline
        left_out: the run folders that were excluded from the report

    """
    notes = []
    pairs = min((len(measures[HEADLINE].difference.pairs) for measures in contrasts.values()), default=FEW)
    if pairs < FEW:
        notes.append(
            f"Few seeds: with fewer than {FEW} pairs even the same winner at every seed may be chance, and "
            "the intervals assume that the differences are normally distributed."
        )
    if len(contrasts) > 1:
        notes.append(
            f"{len(contrasts)} arms are compared with {comparison.baseline}, and each 95 % interval is for one"
            " comparison: a difference is claimed only if it also holds after Holm's adjustment."
        )
    notes += _about_varied(comparison) + _about_test_sets(comparison) + _about_pairs(comparison)
    if comparison.folds:
        notes.append(
            "The folds of one seed share training clips: their pairs are not independent, and the interval over "
            "pairs may be too narrow."
        )
    notes += _about_leaks(comparison.runs) + _about_origin(comparison.runs)
    if left_out:
        verb = "was" if len(left_out) == 1 else "were"
        notes.append(f"{_count(len(left_out), 'run folder')} {verb} left out, listed with the reasons.")
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
    tested = {
        arm: {_pair(run): run.clip_sets["test"] for run in comparison.runs_of(arm).itertuples()}
        for arm in comparison.arms
    }
    baseline = tested[comparison.baseline]
    unlike = {pair for sets in tested.values() for pair in sets if pair in baseline and sets[pair] != baseline[pair]}
    if unlike:
        return [
            f"The arms were tested on different utterances at {_pairs(unlike)}: such a pair is not a fair comparison, "
            "so nothing is compared clip by clip or speaker by speaker."
        ]
    digests = {digest for sets in tested.values() for digest in sets.values()}
    if len(digests) == 1 and len(comparison.runs) > 1:
        clips = comparison.clips("test")
        clips = clips[clips.run == comparison.runs.index[0]]
        what = "clips and augmented copies" if (clips["copy"] != "").any() else "utterances"
        if not names_speakers(clips):
            return [
                f"Every run was tested on the same {len(clips)} {what}: the spread over runs is that of the seed. The "
                "corpus does not state the speakers, so how the result varies with them is unknown."
            ]
        return [
            f"Every run was tested on the same {len(clips)} {what} of {clips.speaker.nunique()} speakers: "
            "the spread over runs is that of the seed. Only the intervals over speakers estimate how the result varies "
            "with the speakers."
        ]
    return []


def _about_pairs(comparison: Comparison) -> list[str]:
    pairs = {arm: set(map(_pair, comparison.runs_of(arm).itertuples())) for arm in comparison.arms}
    everywhere = set.intersection(*pairs.values())
    notes = [
        f"Not every arm has {_pairs(arm_pairs - everywhere)} of {arm}: "
        "counted in the means of its arm, and in pairs only where there is a partner."
        for arm, arm_pairs in pairs.items()
        if arm_pairs - everywhere
    ]
    folds = len(comparison.folds)
    incomplete = [
        f"seed {seed} of {arm}"
        for arm in comparison.arms
        for seed, count in comparison.runs_of(arm).groupby("seed").fold.nunique().items()
        if folds and count < folds
    ]
    if incomplete:
        notes.append(
            f"Folds are missing of {', '.join(incomplete)}: left out of the mean and spread of the arm; pairs still "
            "count."
        )
    return notes


def _pair(run: pd.Series) -> Pair:
    return (run.seed, run.fold) if run.fold else run.seed


def _pairs(pairs: Iterable[Pair]) -> str:
    names = [str(pair) if isinstance(pair, int) else f"{pair[0]} (fold {pair[1]})" for pair in sorted(pairs)]
    return ("seed " if len(names) == 1 else "seeds ") + ", ".join(names)


def _about_leaks(runs: pd.DataFrame) -> list[str]:
    leaks = [str(audit["summary"]) for audit in runs.audit if audit.get("leak")]
    notes = []
    if leaks:
        where = "every run" if len(leaks) == len(runs) else f"{len(leaks)} of {len(runs)} runs"
        notes.append(f"The audit of {where} found {leaks[0]}.")
    shared = [
        finding["sentence"]
        for audit in runs.audit
        for finding in audit["findings"]
        if finding["name"] == SHARED_SPEAKERS and finding["found"]
    ]
    if shared:
        notes.append(f"{shared[0]}: these results do not estimate the accuracy on unseen speakers.")
    return notes


def _about_origin(runs: pd.DataFrame) -> list[str]:
    notes = []
    commits = {str(git.get("commit")) for git in runs.git}
    if len(commits) > 1:
        notes.append(f"The runs were made at {len(commits)} commits: {', '.join(sorted(commits))}.")
    if dirty := sum(bool(git.get("dirty")) for git in runs.git):
        notes.append(f"{dirty} of {len(runs)} runs were made with uncommitted changes in the code.")
    for package in sorted({package for versions in runs.versions for package in versions}):
        versions = sorted({str(versions.get(package)) for versions in runs.versions})
        if len(versions) > 1:
            notes.append(f"The runs were made with several versions of {package}: {', '.join(versions)}.")
    devices = runs.device.value_counts().sort_index()
    if len(devices) > 1:
        shares = ", ".join(f"{count} on {device}" for device, count in devices.items())
        notes.append(f"The runs were trained on several devices, which round differently: {shares}.")
    if problems := max(len(corpus["problems"]) for corpus in runs.corpus):
        notes.append(f"{problems} files of the corpus are missing or could not be used.")
    return notes
