"""Values for the templates of a report."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.arms import Comparison
from ser_lightning.report.clip_tests import CochranQ
from ser_lightning.report.contrasts import Contrasts
from ser_lightning.report.fairness import Fairness
from ser_lightning.report.fairness_tables import comparisons_table, groups_table, worst_table
from ser_lightning.report.parts import LISTENERS, accuracy_of_parts, is_ravdess, merged_accuracy
from ser_lightning.report.robustness import robustness_table
from ser_lightning.report.runs import HEADLINE


def section_context(comparison: Comparison, contrasts: Contrasts, cochran_q: CochranQ | None) -> dict[str, Any]:
    """Return the values for the templates of the sections ``arms``, ``differences`` and ``power``."""
    return {
        "comparison": comparison,
        "contrasts": contrasts,
        "cochran": cochran_q,
        "headline": HEADLINE,
        "listeners": LISTENERS if is_ravdess(comparison) else None,
    }


def fairness_context(comparison: Comparison, fairness_by_arm: Mapping[str, Fairness]) -> dict[str, Any]:
    """Return the values for the section on groups of test clips."""
    return {
        "fairness": fairness_by_arm,
        "worst": worst_table(fairness_by_arm, title=comparison.arm),
        "worst_of_many": len(fairness_by_arm) > 1,
        "groups_table": groups_table,
        "comparisons_table": comparisons_table,
    }


def robustness_context(tables: Mapping[str, pd.DataFrame], panels: Iterable[str]) -> dict[str, Any]:
    """Return the values for the section on conditions of recording."""
    return {
        "robustness": robustness_table(tables) if tables else None,
        "robustness_panels": [name for name in panels if name.startswith("robustness")],
        "many": True,
    }


def report_context(comparison: Comparison) -> dict[str, Any]:
    """Return the values that only the whole report shows."""
    runs = comparison.runs
    seeds = {arm: ", ".join(map(str, comparison.runs_of(arm).seed.unique())) for arm in comparison.arms}
    equal_seeds = len(set(seeds.values())) == 1
    choices = runs.choices.iloc[0]
    return {
        "runs": runs,
        "synthetic": SYNTHETIC if is_synthetic(runs) else "",
        "seeds": f"{seeds[comparison.baseline]} in every arm"
        if equal_seeds
        else "; ".join(f"{arm} {arm_seeds}" for arm, arm_seeds in seeds.items()),
        "choices": [
            f"{group}={option}"
            for group, option in sorted(choices.items())
            if not group.startswith("hydra/") and all(run_choices.get(group) == option for run_choices in runs.choices)
        ],
        "corpora": [f"{c['name']}, {c['utterances']} utterances, digest {c['digest'][:12]}" for c in runs.corpus],
        "splits": [choices.get("split", "unnamed") for choices in runs.choices],
        "counts": {subset: [counts.get(subset, 0) for counts in runs.counts] for subset in runs.counts.iloc[0]},
        "fixed": pd.DataFrame(list(comparison.fixed.items()), columns=["config key", "value"]),
        "by_emotion": accuracy_of_parts(comparison, "target"),
        "by_gender": accuracy_of_parts(comparison, "gender"),
        "by_intensity": accuracy_of_parts(comparison, "intensity"),
        "merged_accuracy": merged_accuracy(comparison),
        "audit": " / ".join(dict.fromkeys(audit["summary"] for audit in runs.audit)),
        "encoders": [_encoder(encoder) for encoder in runs.encoder if encoder],
        "normalizations": [
            f"by {normalization['mode']}, transductive: {normalization['statistics']}, unlabeled"
            for normalization in runs.normalization
            if normalization
        ],
        "commits": [git.get("commit") or "unknown" for git in runs.git],
        "dirty": any(git.get("dirty") for git in runs.git),
        "versions": {
            package: [versions.get(package, "unknown") for versions in runs.versions]
            for package in sorted({package for versions in runs.versions for package in versions})
        },
    }


def _encoder(encoder: Mapping[str, Any]) -> str:
    version = " ".join(f"{key} {str(encoder[key])[:12]}" for key in ("revision", "sha256") if key in encoder)
    return f"{encoder.get('name')} ({version}), trained on {encoder.get('trained_on')}"
