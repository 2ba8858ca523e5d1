"""Build the sections of a report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ser_lightning.report import groups, panels, tables
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.arms import Comparison
from ser_lightning.report.contrasts import Contrasts
from ser_lightning.report.document import Block, Code, Document, Folded, Picture, Points, Section
from ser_lightning.report.drawing import PANELS
from ser_lightning.report.metrics import HEADLINE, IN_EVALUATION_MODE, STUDY, TRAINING_MODE, Metric, by_pair, metrics_of
from ser_lightning.report.runs import LeftOut, Run
from ser_lightning.report.significance import CochranQ

MOST_DIFFERENCES = 6  # panels of confusion differences; further arms appear in the tables only
ABOUT_INTERVALS = (
    "The interval over pairs, which the answer goes by, is Student's t: in simulated sweeps without a difference it "
    "covers zero 95 times in 100, with few seeds too. Beside it a bootstrap of the pairs, and one of the speakers, all "
    "pairs counted together: 10,000 draws each, studentized, because percentile intervals are too narrow with few "
    "seeds or speakers; with fewer than 8 of them there is none. Over pairs means: other "
    "seeds on these speakers. Over speakers means: these trained networks on other speakers."
)
ABOUT_TESTS = (
    "Wilcoxon's signed-rank and the permutation test are over pairs, exact up to 16 of them. McNemar's test pools the "
    "test clips of all pairs as if they were independent, which clips of one speaker and one clip at several seeds are "
    "not: its p is too small, and no claim rests on it. Cohen's d is of the pairs; Cliff's delta of all runs."
)


def document(
    comparison: Comparison,
    contrasts: Contrasts,
    cochran: CochranQ | None,
    *,
    answer: str,
    cautions: Sequence[str],
    left_out: Sequence[LeftOut],
    command: str,
) -> Document:
    """Assemble the report document.

    Args:
        comparison: the arms and their runs
        contrasts: arm -> metric -> contrast with the baseline
        cochran: Cochran's Q test of all arms, if it could be computed
        answer: the answer in sentences
        cautions: what a reader should know before relying on the answer
        left_out: the run folders that were excluded from the report
        command: the command line that makes the report

    """
    listed = tables.left_out_table(left_out) if left_out else "Nothing."
    sections = [
        Section(title="Design", blocks=_design(comparison)),
        Section(title="Arms", blocks=about_arms(comparison)),
        Section(title="Differences", blocks=about_differences(comparison, contrasts, cochran)),
        Section(title="Power", blocks=about_power(comparison, contrasts)),
        Section(title="Training", blocks=[_curves(comparison)]),
        Section(title="Emotions and speakers", blocks=_parts(comparison)),
        Section(title="Confusions", blocks=[_confusions(comparison)]),
        Section(title="Leak audit", blocks=_audit(comparison)),
        Section(title="Cost", blocks=["Seconds, the mean of a run by stage.", tables.cost_table(comparison)]),
        Section(title="Runs", blocks=_runs(comparison)),
        Section(title="Left out", blocks=[listed]),
        Section(title="Origin", blocks=[Points(lines=list(_origin(comparison.runs))), "Made by:", Code(text=command)]),
    ]
    arms = ", ".join(comparison.arms)
    return Document(
        title=f"{comparison.runs[0].name}: {comparison.arm} = {arms}",
        warning=SYNTHETIC if is_synthetic(comparison) else "",
        question=f"Does {comparison.arm} ({arms}) change the {HEADLINE.title}?",
        answer=answer,
        cautions=cautions,
        sections=[section for section in sections if section.blocks],
    )


def _design(comparison: Comparison) -> list[Block]:
    runs = comparison.runs
    seeds = {arm: _seeds(members) for arm, members in comparison.arms.items()}
    listed = (
        f"{seeds[comparison.baseline]} in every arm"
        if len(set(seeds.values())) == 1
        else "; ".join(f"{arm} {own}" for arm, own in seeds.items())
    )
    nuisance = ", ".join(f"`{key}`" for key in comparison.nuisance) or "none"
    groups_fixed = ", ".join(
        f"{group}={option}"
        for group, option in sorted(runs[0].choices.items())
        if not group.startswith("hydra/") and all(run.choices.get(group) == option for run in runs)
    )
    lines = [
        f"scientific, what is asked: {comparison.arm} ({', '.join(comparison.arms)})"
        + "".join(
            f"; `{key}`: " + ", ".join(f"{arm} = {value}" for arm, value in values.items())
            for key, values in comparison.varied.items()
            if key != comparison.arm
        ),
        f"nuisance, averaged over: {nuisance}; seeds: {listed}",
        f"fixed: {groups_fixed or 'no group'}, and every other config key",
        "corpus: "
        + _values(
            f"{run.corpus['name']}, {run.corpus['utterances']} utterances, digest {run.corpus['digest'][:12]}"
            for run in runs
        ),
        f"split: {_values(run.choices.get('split', 'unnamed') for run in runs)}"
        + (f", folds {', '.join(comparison.folds)}" if comparison.folds else ""),
        "utterances: "
        + ", ".join(
            f"{subset.replace('_', ' ')} {_values(run.counts.get(subset, 0) for run in runs)}"
            for subset in dict.fromkeys(subset for run in runs for subset in run.counts)
        ),
        f"epochs: {_values(run.epochs for run in runs)}",
        f"checkpoint tested: {_values(run.checkpoint for run in runs)}",
    ]
    fixed = tables.Table(("config key", "value"), list(comparison.fixed.items()))
    return [Points(lines=lines), Folded(title=f"All {len(fixed.rows)} fixed config keys", table=fixed)]


def _seeds(runs: Sequence[Run]) -> str:
    return ", ".join(dict.fromkeys(str(run.seed) for run in runs))


def about_arms(comparison: Comparison) -> list[Block]:
    """Build the section on the arms: mean and spread of every metric by arm, and a figure of every run."""
    over = "seeds; of a seed with folds, the mean over them counts" if comparison.folds else "seeds"
    listeners = groups.LISTENERS if groups.of_ravdess(comparison) else None
    values = {arm: by_pair(runs, HEADLINE) for arm, runs in comparison.arms.items()}
    joined = "; lines join the arms at one seed" + (" and fold" if comparison.folds else "")
    caption = f"{HEADLINE.title.capitalize()} of every run" + (joined if len(values) > 1 else "") + "."
    if listeners is not None:
        caption += f" Human listeners: {groups.LISTENERS_SOURCE}"
    panel = panels.paired_panel(values, f"{HEADLINE.title} (%)", listeners=listeners)
    return [
        f"Percent; mean ± sample standard deviation over {over}.",
        tables.arms_table(comparison),
        *_about_study(metrics_of(comparison)),
        Picture(caption=caption, panels={"paired": ("", panel)}),
        "Percent; mean ± sample standard deviation over speakers, all runs of an arm counted together.",
        tables.speakers_table(comparison),
    ]


def about_differences(comparison: Comparison, contrasts: Contrasts, cochran: CochranQ | None) -> list[Block]:
    """Build the section that compares each arm with the baseline: intervals, tests and effect sizes."""
    if not contrasts:
        return ["One arm only: no difference."]
    what = "seed and fold" if comparison.folds else "seed"
    several = len(contrasts) > 1
    arms = f"Baseline: {comparison.baseline}." if several else f"{next(iter(contrasts))} - {comparison.baseline}."
    blocks: list[Block] = [
        f"Points of percent, paired by {what}. {arms}",
        tables.differences_table(contrasts, comparison.baseline),
        ABOUT_INTERVALS,
        "Two-sided p-values" + (", in brackets after Holm over the arms." if several else "."),
        tables.tests_table(contrasts, comparison.baseline),
        ABOUT_TESTS,
    ]
    lines = [
        f"of {found.clips:,} pooled test clips {found.arm_only:,} were recognised with {comparison.arm}={arm} alone "
        f"and {found.baseline_only:,} with {comparison.baseline} alone"
        for arm, metrics in contrasts.items()
        if (found := metrics[HEADLINE].mcnemar) is not None
    ]
    if cochran is not None:
        lines.append(
            f"all {len(comparison.arms)} arms together: Cochran's Q = {cochran.q:.2f} with {cochran.df} degrees of "
            f"freedom over {cochran.clips:,} pooled test clips, p = {tables.p_text(cochran.p)}, with the same reserve "
            "as McNemar's"
        )
    return [*blocks, Points(lines=lines)] if lines else blocks


def about_power(comparison: Comparison, contrasts: Contrasts) -> list[Block]:
    """Build the section on power: the number of seeds needed to detect a difference."""
    if not contrasts:
        return []
    folds = f" Each seed is {len(comparison.folds)} pairs, one a fold." if comparison.folds else ""
    return [
        "Seeds with which a true difference of so many points would be found 4 times in 5 (paired t-test, two-sided at "
        f"5 %, power 80 %), if the differences spread as they do here.{folds} The spread is itself known only roughly "
        "from few seeds, and so are these numbers.",
        tables.power_table(contrasts, comparison.baseline),
    ]


def _curves(comparison: Comparison) -> Picture:
    histories = {arm: [run.history for run in runs] for arm, runs in comparison.arms.items()}
    return Picture(
        caption="By epoch: mean over the runs of an arm, band from the lowest to the highest run.",
        panels={
            series: (
                f"{series.upper() if series == 'uar' else series.capitalize()}, training and validation",
                panels.curves_panel(histories, series, label, factor=factor),
            )
            for series, label, factor in PANELS
        },
    )


def _parts(comparison: Comparison) -> list[Block]:
    human = groups.of_ravdess(comparison)
    emotions, gender, intensity = (of(comparison) for of in (groups.by_emotion, groups.by_gender, groups.by_intensity))
    listeners: Mapping[str, float] = groups.LISTENERS_BY_INTENSITY if human else {}
    shares = emotions | gender | intensity
    more = [name for name, found in (("gender", gender), ("intensity", intensity)) if found]
    last = f" and {more[-1]}" if more else ""
    caption = f"Recognised of the test clips of each {', '.join(['emotion', *more[:-1]])}{last}"
    panel = panels.shares_panel(shares, list(comparison.arms), listeners)
    blocks: list[Block] = [
        "Percent of the test clips recognised, all runs of an arm counted together; of an emotion this is its recall.",
        tables.shares_table(comparison, "emotion", emotions, {}),
        tables.shares_table(comparison, "speaker's gender", gender, {})
        if gender
        else f"By gender: nothing, because {_values(run.corpus['name'] for run in comparison.runs)} does not tell the "
        "gender of a speaker in the names of its clips.",
    ]
    if intensity:
        blocks.append(tables.shares_table(comparison, "intensity", intensity, listeners))
    if human:
        seven = "; ".join(f"{arm} {share:.1f} %" for arm, share in groups.on_seven_options(comparison).items())
        blocks.append(
            "Human listeners are a rough yardstick: they hear speakers they do not know, and choose among fewer "
            f"options. {groups.LISTENERS_SOURCE} {groups.INTENSITY_SOURCE}"
            + (f" With neutral and calm merged, the networks recognise: {seven}." if seven else "")
        )
    return [*blocks, Picture(caption=f"{caption}.", panels={"recall": ("", panel)})]


def _confusions(comparison: Comparison) -> Picture:
    emotions = comparison.runs[0].emotions
    counts = {arm: np.sum([run.confusion["test"] for run in runs], axis=0) for arm, runs in comparison.arms.items()}
    drawn = {
        f"confusion-{number}": (f"{arm} ({_runs_text(comparison.arms[arm])})", panels.confusion_panel(matrix, emotions))
        for number, (arm, matrix) in enumerate(counts.items())
    }
    baseline, *others = counts
    for number, arm in enumerate(others[:MOST_DIFFERENCES], 1):
        panel = panels.difference_panel(counts[arm], counts[baseline], emotions)
        drawn[f"confusion-{number}-less-0"] = (f"{arm} - {baseline}, points", panel)
    caption = "Test clips, all runs of an arm counted together; percent of each true emotion."
    if others:
        caption += " In the differences blue is more and orange less than the baseline: better is blue on the diagonal."
    return Picture(caption=caption, panels=drawn)


def _audit(comparison: Comparison) -> list[Block]:
    without = sum(not run.audit for run in comparison.runs)
    total = len(comparison.runs)
    blocks: list[Block] = []
    if without < total:
        summary = _values(run.audit["summary"] for run in comparison.runs if run.audit)
        blocks += [f"{summary[0].upper()}{summary[1:]}.", tables.audit_table(comparison)]
    if without:
        blocks.append(
            f"{without} of {total} runs were made before there was an audit: nothing is known of their leaks."
        )
    return blocks


def _runs(comparison: Comparison) -> list[Block]:
    return [
        "Percent; the interval is Wilson's, for the share of correct utterances of that one run.",
        tables.runs_table(comparison),
    ]


def _about_study(metrics: Sequence[Metric]) -> Iterable[str]:
    if IN_EVALUATION_MODE in metrics:
        yield (
            "The test metrics are measured as the study measured: in training mode, or with BatchNorm's running "
            "statistics moved by the measured utterances; the same weights in evaluation mode have a column of their "
            "own."
        )
    if STUDY in metrics:
        counts = (
            "It counts predictions in training mode; the last column counts the same predictions by utterance."
            if TRAINING_MODE in metrics
            else "It counts the same predictions as the test accuracy."
        )
        yield (
            "The study's test metric is the study's own arithmetic, correct predictions divided by the number of "
            f"batches of 100, given for comparison with its table; it is not an accuracy. {counts}"
        )


def _origin(runs: Sequence[Run]) -> Iterable[str]:
    dirty = " with uncommitted changes" if any(run.git.get("dirty") for run in runs) else ""
    yield f"commit: {_values(run.git.get('commit') or 'unknown' for run in runs)}{dirty}"
    for package in sorted({package for run in runs for package in run.versions}):
        yield f"{package}: {_values(run.versions.get(package, 'unknown') for run in runs)}"


def _runs_text(runs: Sequence[Run]) -> str:
    return f"{len(runs)} run" + "s" * (len(runs) > 1)


def _values(values: Iterable[Any]) -> str:
    return " / ".join(dict.fromkeys(map(str, values)))
