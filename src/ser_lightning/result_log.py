"""Log the result of a run."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from ser_lightning.build import is_baseline
from ser_lightning.metrics import STUDY_BATCH

log = logging.getLogger(__name__)


def log_plan(config: Mapping[str, Any], choices: Mapping[str, Any]) -> None:
    """Log what a run is about to do.

    Args:
        config: config of the run
        choices: chosen options of the config groups

    """
    parts = ", ".join(f"{group} {choices[group]}" for group in ("split", "features", "augment") if choices.get(group))
    epochs = "" if is_baseline(config["model"]) else f" for at most {config['trainer']['max_epochs']} epochs"
    log.info(
        "training %s on %s (%s)%s, into %s",
        choices.get("model"),
        choices.get("corpus"),
        parts,
        epochs,
        config["folder"],
    )


def log_result(result: Mapping[str, Any]) -> None:
    """Log the metrics of a result."""
    switches = result["config"]["evaluation"]
    how = ", ".join(
        [
            "test after the refit, val before it" if "refit" in result else f"{result['checkpoint']} checkpoint",
            *(f"evaluation.{key}" for key, on in switches.items() if on is True),
        ]
    )
    log.info("%s %s (%s): %s", result["name"], result["run_id"], how, _format_metrics(result["metrics"]))
    if "chosen" in result:
        log.info("chosen by inner validation: %s", ", ".join(_format_choices(result["chosen"])))
    if "evaluation_mode_metrics" in result:
        log.info("the same weights in evaluation mode: %s", _format_metrics(result["evaluation_mode_metrics"]))
    if (line := _format_calibration(result.get("calibration"))) is not None:
        log.info("%s", line)
    if "study_metric" in result:
        log.info(
            "study_metric %s: the study's own arithmetic (correct clips per batch of %d), no accuracy; the same"
            " predictions counted rightly are %.1f %% of the test clips",
            json.dumps({subset: round(value, 2) for subset, value in result["study_metric"].items()}),
            STUDY_BATCH,
            100 * result["metrics"]["test"]["accuracy"],
        )
    if result.get("audit", {}).get("leak"):
        log.info("%s", result["audit"]["summary"])


def _format_choices(chosen: Mapping[str, Any]) -> list[str]:
    """Format the chosen values, without those that were not chosen by inner validation.

    >>> _format_choices({"c": 0.0100001, "layers": [1, 2], "uar": None})
    ['c 0.01', 'layers [1, 2]']
    """
    return [
        f"{name} {value:.4g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in chosen.items()
        if value
    ]


def _format_calibration(section: Mapping[str, Any] | None) -> str | None:
    """Format the calibration of a result; None for a result without one."""
    if section is None or section["fitted"] is None:
        return None
    errors = "  ".join(
        f"{subset} ECE {100 * section[subset]['before']['ece']:.1f} % -> {100 * section[subset]['after']['ece']:.1f} %"
        for subset in ("val", "test")
        if subset in section
    )
    return f"temperature {section['fitted']['temperature']:.2f}, fitted to the {section['fitted_on']}: {errors}"


def _format_metrics(metrics: dict[str, Any]) -> str:
    return "  ".join(
        f"{subset} accuracy {100 * metrics[subset]['accuracy']:.1f} % UAR {100 * metrics[subset]['uar']:.1f} %"
        for subset in ("val", "test")
        if subset in metrics
    )
