"""Numbers of a report for ``report.json``."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ser_lightning.report import tables
from ser_lightning.report.answer import is_synthetic
from ser_lightning.report.arms import Comparison
from ser_lightning.report.clip_tests import CochranQ
from ser_lightning.report.contrasts import Contrasts
from ser_lightning.report.fairness import Fairness
from ser_lightning.report.parts import PARTS, accuracy_of_parts


def comparison_json(comparison: Comparison, contrasts: Contrasts, cochran_q: CochranQ | None) -> dict[str, Any]:
    """Return the numbers of a comparison as values that JSON can represent; NaN and infinity become ``None``."""
    summaries = {over: tables.summaries_by_metric(comparison, over=over) for over in ("seeds", "speakers")}
    as_dicts = {
        over: {arm: {key: asdict(summary) for key, summary in values.items()} for arm, values in arms.items()}
        for over, arms in summaries.items()
    }
    parts = [accuracy_of_parts(comparison, column) for column in ("target", *PARTS)]
    content = {
        "synthetic": is_synthetic(comparison.runs),
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "design": {"scientific": comparison.varied, "nuisance": comparison.nuisance, "fixed": comparison.fixed},
        "folds": comparison.folds,
        "unit": "percent",
        "arms": as_dicts["seeds"],
        "speakers": as_dicts["speakers"],
        "recognized": {part: shares for table in parts for part, shares in table.to_dict("index").items()},
        "differences": {
            arm: {key: _contrast(contrast) for key, contrast in by_metric.items()}
            for arm, by_metric in contrasts.items()
        },
        "cochran_q": None if cochran_q is None else cochran_q._asdict(),
        "runs": [
            {"path": run["path"], "run_id": run["run_id"], "arm": run["arm"], "seed": run["seed"]}
            | {"fold": run["fold"] or None, "epochs": run["epochs"], "leak": run["audit"].get("leak")}
            | {"seconds": run["seconds"], **{key: run[key] for key in comparison.measures}}
            for run in comparison.runs.to_dict("records")
        ],
    }
    numbers: dict[str, Any] = _plain(content)
    return numbers


def fairness_json(fairness_by_arm: Mapping[str, Fairness]) -> dict[str, Any]:
    """Return the metrics by group of every arm as values that JSON can represent."""
    tables = {
        arm: {name: table.to_dict("records") for name, table in arm_fairness._asdict().items()}
        for arm, arm_fairness in fairness_by_arm.items()
    }
    numbers: dict[str, Any] = _plain(tables)
    return numbers


def robustness_json(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the section on conditions of recording; nothing without such results."""
    if not tables:
        return {}
    numbers: dict[str, Any] = _plain({arm: table.to_dict("records") for arm, table in tables.items()})
    return {"robustness": numbers}


def _contrast(contrast: Any) -> dict[str, Any]:
    fields = asdict(contrast)
    for name in ("bootstrap_over_pairs", "bootstrap_over_speakers", "mcnemar"):
        fields[name] = fields[name] and getattr(contrast, name)._asdict()
    return {**fields.pop("difference"), **fields}


def _plain(value: Any) -> Any:
    """Return the value with NaN and infinity replaced by ``None``, which JSON can represent."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
