"""Calibrate the checkpoints of a run on its validation clips."""

from collections.abc import Mapping
from typing import Any

from ser_lightning.calibration.calibration import Calibration, describe_subset, fit_calibration
from ser_lightning.evaluation import Predictions

VALIDATION = "validation clips"
SELECTION = "validation clips of the selection, before the refit"


def calibrate(
    predictions: Mapping[str, Mapping[str, Predictions]],
    *,
    config: Mapping[str, Any],
    selection: Mapping[str, Any] | None,
) -> dict[str, Calibration]:
    """Return the calibration of each checkpoint of a run; empty if the run has none.

    A refit trains on the validation clips, so its checkpoints get the calibration of the model that was trained without
    them.

    Args:
        predictions: checkpoint (``best``, ``last``) -> subset -> predictions in evaluation mode
        config: resolved config of the run
        selection: result of the selection, for a refit

    """
    if not config["calibrate"]:
        return {}
    if selection is not None:
        fitted = (selection.get("calibration") or {}).get("fitted")
        return {} if fitted is None else dict.fromkeys(predictions, Calibration.from_plain(fitted))
    return {
        which: fit_calibration(by_subset["val"].logits, by_subset["val"].target)
        for which, by_subset in predictions.items()
        if "val" in by_subset
    }


def describe_calibration(
    calibrations: Mapping[str, Calibration],
    predictions: Mapping[str, Mapping[str, Predictions]],
    *,
    config: Mapping[str, Any],
    selection: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the section ``calibration`` of a result: that of the reported checkpoint.

    Args:
        calibrations: calibration of each checkpoint
        predictions: checkpoint -> subset -> predictions in evaluation mode
        config: resolved config of the run
        selection: result of the selection, for a refit

    """
    which = config["checkpoint"]
    if which not in calibrations:
        reason = "calibrate is false" if not config["calibrate"] else "the run has no validation clips"
        return {"fitted": None, "fitted_on": None, "reason": reason}
    calibration = calibrations[which]
    section: dict[str, Any] = {
        "fitted": calibration.as_plain(),
        "fitted_on": VALIDATION if selection is None else SELECTION,
    }
    if selection is not None:
        section["val"] = selection["calibration"]["val"]
    return section | {
        subset: describe_subset(calibration, subset_predictions.logits, subset_predictions.target)
        for subset, subset_predictions in predictions[which].items()
        if subset in ("val", "test")
    }
