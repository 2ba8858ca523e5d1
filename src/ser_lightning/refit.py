"""Train on training and validation clips together, after everything was chosen by the validation clips (split.refit).

A run then has two stages. The selection trains on the training clips and evaluates the validation clips; the test clips
take no part in it. The refit trains a new model on both subsets, a network for as many epochs as the selection chose,
and evaluates the test clips once.
"""

import logging
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ser_lightning.assemble import build_split
from ser_lightning.build import is_baseline
from ser_lightning.data.preparation import Preparation
from ser_lightning.errors import InputError
from ser_lightning.results import finished
from ser_lightning.run_folder import LOG, SELECTION, Unfinished, start_folder, write_run_split
from ser_lightning.splits.refit import Strategy, ValidationInTraining, WithoutTest
from ser_lightning.splits.split import SUBSETS
from ser_lightning.trainer_options import averages_weights, processes

log = logging.getLogger(__name__)

RESULT = "result.json"
SELECTED = "selection.json"  # not result.json, so that no reader takes the selection for a run
VALIDATION = "val/"  # beginning of the names of the validation metrics


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training of a run: the only one, the selection or the refit.

    Args:
        log_file: log file of the run
        split: the split, if it is not exactly the one of the config
        name: what the log calls an epoch
        result: name of the file that marks the end of the stage
        subsets: subsets that must have clips
        epochs: number of epochs of a refit
        selection: result of the selection, for the refit

    """

    log_file: Path
    split: Strategy | None = None
    name: str = "epoch"
    result: str = RESULT
    subsets: tuple[str, ...] = SUBSETS
    epochs: int | None = None
    selection: Mapping[str, Any] | None = None

    def trainer_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the config from which the Trainer of this stage is built."""
        return config if self.epochs is None else _without_validation(config, epochs=self.epochs)


class Training(NamedTuple):
    """A stage of a run with what it is trained from.

    Args:
        config: resolved config of the stage
        folder: folder that it writes
        stage: the stage

    """

    config: dict[str, Any]
    folder: Path
    stage: Stage


def start_stage(
    training: Training, preparation: Preparation, *, overrides: Sequence[str], unfinished: Unfinished | None
) -> None:
    """Remove leftovers from the folder of a stage, and write its config, overrides and split.

    Args:
        training: the stage
        preparation: its data, scanned
        overrides: overrides of the command line
        unfinished: the training to resume

    """
    config, folder, stage = training
    start_folder(folder, config, overrides, unfinished=unfinished, log_file=stage.log_file, epoch_name=stage.name)
    write_run_split(folder / "split.csv", preparation)


Trainings = Generator[Training, dict[str, Any] | None, dict[str, Any] | None]


def trainings(config: dict[str, Any], *, folder: Path) -> Trainings:
    """Yield the stages of a run one after another, and receive the result of each.

    Args:
        config: resolved config of the run
        folder: folder of the run; the selection has the subfolder ``selection``

    Returns:
        the result of the last stage; ``None`` for a trial

    Raises:
        InputError: a value of the config is impossible with ``split.refit``

    """
    if config["split"]["refit"] is not True:
        return (yield Training(config, folder, Stage(log_file=folder / LOG)))
    check_refit(config)
    drawn = build_split(config)
    first = _in_folder(config, before=folder, after=folder / SELECTION)
    selection = finished(folder / SELECTION, first, name=SELECTED)
    if selection is None:
        stage = Stage(log_file=folder / LOG, split=WithoutTest(drawn=drawn), result=SELECTED, subsets=("train", "val"))
        selection = yield Training(first, folder / SELECTION, stage)
    if selection is None:
        return None
    epochs = None if is_baseline(config["model"]) else selection["checkpoints"][config["checkpoint"]]["epoch"] + 1
    log.info("refit on training and validation clips%s", "" if epochs is None else f", {epochs} epochs")
    stage = Stage(
        log_file=folder / LOG,
        split=ValidationInTraining(drawn=drawn),
        name="refit epoch",
        subsets=("train", "test"),
        epochs=epochs,
        selection=selection,
    )
    return (yield Training(config, folder, stage))


def train_stages(
    train: Callable[[Training], dict[str, Any] | None], config: dict[str, Any], *, folder: Path
) -> dict[str, Any] | None:
    """Train the stages of a run; return the content of ``result.json``, ``None`` for a trial.

    Args:
        train: trains and evaluates one stage and returns its result
        config: resolved config of the run
        folder: folder of the run

    """
    stages, result = trainings(config, folder=folder), None
    try:
        while True:
            result = train(stages.send(result))
    except StopIteration as ended:
        value: dict[str, Any] | None = ended.value
        return value


def with_selection(result: Mapping[str, Any], selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a refit with what the validation clips say about the model before it.

    Args:
        result: content of ``result.json`` without validation clips
        selection: result of the selection

    """
    of_both = ("metrics", "per_class_recall", "confusion_matrix")
    return {
        **result,
        **{key: {**result[key], "val": selection[key]["val"]} for key in of_both},
        "refit": {
            "epochs": result["epochs"],
            "clips": result["counts"]["train"],
            "selection": {key: selection[key] for key in ("counts", "epochs", "metrics")}
            | {key: selection[key] for key in ("chosen",) if key in selection},
        },
    }


def check_refit(config: Mapping[str, Any]) -> None:
    """Check that nothing in the refit would depend on validation.

    Args:
        config: resolved config of the run

    Raises:
        InputError: an option needs validation clips, copies are split as clips, or there are several processes

    """
    if config["data"]["augment_first"]:
        raise InputError(
            "split.refit is true with data.augment_first=true, where copies of one clip are in several subsets;"
            " expected data.augment_first=false"
        )
    if is_baseline(config["model"]):
        return
    if processes(config["trainer"]) != 1:
        raise InputError(
            f"trainer.devices is {config['trainer']['devices']} with split.refit=true; expected 1: a run of several"
            " processes trains once"
        )
    if str(config["scheduler"].get("monitor")).startswith(VALIDATION):
        raise InputError(
            f"scheduler.monitor is {config['scheduler']['monitor']} with split.refit=true, where the second training"
            " has no validation clips; choose scheduler=warmup_cosine, for example, or a monitor of train/"
        )
    if averages_weights(config) and config["checkpoint"] != "last":
        raise InputError(
            "checkpoint is best with split.refit=true and averaged weights, which only the last epoch has; expected"
            " checkpoint=last"
        )
    for name, part in config["callbacks"].items():
        if _is(part, "ModelCheckpoint", "EarlyStopping"):
            continue
        if str(part.get("monitor")).startswith(VALIDATION):
            raise InputError(
                f"callbacks.{name}.monitor is {part['monitor']} with split.refit=true, where the second training has no"
                " validation clips; leave this callback out"
            )


def _without_validation(config: Mapping[str, Any], *, epochs: int) -> dict[str, Any]:
    """Return a config whose Trainer trains a number of epochs without validation.

    ``trainer.max_epochs`` stays, because learning rate schedules depend on it.
    """
    callbacks = {
        name: {**part, "monitor": None} if _is(part, "ModelCheckpoint") else part
        for name, part in config["callbacks"].items()
        if not _is(part, "EarlyStopping")
    }
    return {
        **config,
        "callbacks": callbacks
        | {"stop_after": {"_target_": "ser_lightning.callbacks.stop_after.StopAfter", "epochs": epochs}},
        "trainer": {**config["trainer"], "limit_val_batches": 0, "min_epochs": None, "max_time": None},
    }


def _is(part: Mapping[str, Any], *names: str) -> bool:
    """Return whether a section of the config describes an object of one of some classes."""
    return str(part.get("_target_")).rpartition(".")[2] in names


def _in_folder(config: Mapping[str, Any], *, before: Path, after: Path) -> dict[str, Any]:
    """Return a config whose checkpoints and logs are written to another folder."""
    # A tracking server's address holds the folder after three slashes.
    path = re.compile(rf"(^|///){re.escape(str(before))}(?=/|$)")

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(item) for key, item in value.items()}
        return path.sub(lambda match: f"{match[1]}{after}", value) if isinstance(value, str) else value

    return {**config, **{key: moved(config[key]) for key in ("folder", "callbacks", "logger") if key in config}}
