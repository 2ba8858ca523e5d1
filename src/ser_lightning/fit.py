"""Train a classical model: fit it once to all training clips, without a Trainer."""

import json
import logging
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from ser_lightning.assemble import assemble_data
from ser_lightning.atomic import write_atomically
from ser_lightning.baselines.baseline import Baseline, fit_baseline
from ser_lightning.baselines.storage import KEY as ESTIMATOR
from ser_lightning.baselines.storage import dump_pipeline
from ser_lightning.build import config_folder
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.checkpoint import KEY, build_recipe, contents, load_plain, read_checkpoint, rebuild_model
from ser_lightning.config_files import values_by_key
from ser_lightning.data.augmentation import BatchAugment
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.errors import InputError
from ser_lightning.evaluate import write_results
from ser_lightning.evaluation import EVALUATION_MODE, Predictions, predict_subset
from ser_lightning.leakage import audit_run
from ser_lightning.metrics import study_metric
from ser_lightning.progress import show_progress
from ser_lightning.refit import Training, start_stage
from ser_lightning.result_log import log_plan
from ser_lightning.results import is_unscientific, science_digest
from ser_lightning.run_folder import last_checkpoint, log_subsets
from ser_lightning.trainer_options import build_loggers

log = logging.getLogger(__name__)

# Parts of a config that only apply to the training and evaluation of networks.
OF_NETWORKS = (
    *("trainer", "optim", "scheduler", "callbacks", "monitor", "mode", "loss", "evaluation", "data.balance"),
    *("data.teacher_share", "data.teacher_temperature"),
    *("init_from_sha256", "ensemble", "freeze", "lr_factors"),
)
BALANCED = ("loss", "data.balance")  # parts whose replacement is model.class_weight
CPU = torch.device("cpu")


def fit(training: Training, *, guard: FolderGuard | None, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Fit and evaluate a classical model and write its run folder.

    An interrupted run is restarted from the beginning, because it has no intermediate state.

    Args:
        training: the only training of the run, or one of two
        guard: guard of the folder of the run
        identity: digest, choices and overrides to store in the result

    Returns:
        the content of ``result.json``

    Raises:
        InputError: an option that only applies to networks was changed, or a part rejects a value

    """
    config, folder, stage = training
    recipe = build_recipe(config)
    check_fit_config(config, model=type(recipe).__name__)
    _check_folder(folder, str(identity["digest"]))
    torch.set_num_threads(config["threads"])
    progress = show_progress(f"features of {config['corpus'].get('name', 'the corpus')}")
    data = assemble_data(config, progress=progress, split=stage.split)
    preparation = data.preparation
    if isinstance(preparation.augment, BatchAugment):
        raise InputError(
            f"augment alters batches, and {type(recipe).__name__} is fitted to all clips at once. Choose one that makes"
            " copies, or augment=none."
        )
    preparation.scan()
    preparation.require(stage.subsets)
    start_stage(training, preparation, overrides=identity["overrides"], unfinished=None)
    log_plan(config, identity["choices"])
    data.prepare_data()
    data.setup()
    log_subsets(data)

    start = time.perf_counter()
    classes = len(preparation.corpus.emotions)
    clips = data.training_clips()
    model = fit_baseline(recipe, **clips._asdict(), seed=config["seed"], classes=classes)
    preparation.seconds["train"] = time.perf_counter() - start
    if guard is not None:
        guard.check()
    path = save_checkpoints(model, folder, config=config, data=data)

    start = time.perf_counter()
    # Evaluate the saved checkpoint, so that the result describes the file.
    saved = rebuild_model(read_checkpoint(path, trust=config["trust"]), path=path)
    predictions = {
        subset: predict_subset(saved, data, subset, evaluation=EVALUATION_MODE, device=CPU) for subset in data.subsets()
    }
    preparation.seconds["test"] = time.perf_counter() - start
    if guard is not None:
        guard.check()
    return write_results(
        data,
        training,
        predictions=predictions,
        evaluated=_evaluated(predictions, config),
        in_evaluation_mode=dict.fromkeys(("best", "last"), predictions),
        facts={
            "epochs": 0,
            "steps": 0,
            "parameters": model.count_parameters(),
            "chosen": model.chosen,
            "history": {},
            "device": "cpu",
        },
        audit=audit_run(data, model, config | {"callbacks": {}}),
        loggers=build_loggers(config),
        identity=identity,
    )


def _evaluated(predictions: Mapping[str, Predictions], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of the result; the best and last checkpoints are the same."""
    metrics = {subset: subset_predictions.summary() for subset, subset_predictions in predictions.items()}
    evaluated: dict[str, Any] = {
        "metrics": metrics,
        "checkpoints": {which: {"epoch": 0, "metrics": metrics} for which in ("best", "last")},
    }
    if config["study_metric"]:
        evaluated["study_metric"] = {
            subset: study_metric(subset_predictions.confusion) for subset, subset_predictions in predictions.items()
        }
    return evaluated


def save_checkpoints(model: Baseline, folder: Path, *, config: Mapping[str, Any], data: SpeechDataModule) -> Path:
    """Write ``best.ckpt`` and ``last.ckpt`` with the same content and return the path of ``last.ckpt``."""
    preparation = data.preparation
    checkpoint = {
        KEY: contents(config=config, emotions=preparation.corpus.emotions, features=preparation.features.size),
        "state_dict": {f"model.{ESTIMATOR}": dump_pipeline(model.pipeline)},
        "epoch": 0,
    }
    last = last_checkpoint(folder)
    for path in (last.with_name("best.ckpt"), last):
        with write_atomically(path, "wb") as file:
            torch.save(checkpoint, file)
    return last


def _check_folder(folder: Path, digest: str) -> None:
    """Check that a folder does not hold an unfinished run of another configuration.

    Raises:
        InputError: the folder holds such a run

    """
    path = last_checkpoint(folder)
    if not path.exists():
        return
    try:
        stored_digest = science_digest(load_plain(path)[KEY]["config"])
    except (
        InputError,
        KeyError,
        TypeError,
    ):  # a damaged checkpoint, for example after a power failure, may be overwritten
        return
    if stored_digest != digest:
        raise InputError(
            f"{folder} holds an unfinished run of another configuration (digest {stored_digest}, this one is {digest})."
            " Choose another name= or run_id=, or remove the folder."
        )


def check_fit_config(config: Mapping[str, Any], *, model: str) -> None:
    """Check that all options that only apply to networks have their defaults.

    Args:
        config: resolved config of the run
        model: name of the model, for messages

    Raises:
        InputError: an option differs from its default

    """
    if (teacher := config["data"]["teacher"]) is not None:
        raise InputError(
            f"data.teacher is {teacher!r}, and {model} is fitted to labels; choose a network, or leave data.teacher out"
        )
    for part in OF_NETWORKS:
        remedy = (
            "For classes that count alike set model.class_weight=balanced." if part in BALANCED else "Leave it out."
        )
        defaults = values_by_key({part: default_of(part, config)})
        values = values_by_key({part: _value_of(config, part)})
        for key in sorted({*defaults, *values}):
            value, default = values.get(key), defaults.get(key)
            if value == default or is_unscientific(key) or (key == "trainer.accelerator" and value == "cpu"):
                continue
            raise InputError(
                f"{key} is {json.dumps(value)}, expected its default {json.dumps(default)}: {model} is fitted to all"
                f" clips at once, without a Trainer. {remedy}"
            )


def default_of(part: str, config: Mapping[str, Any]) -> Any:
    """Return the default of a part of the config.

    Args:
        part: key of the part
        config: resolved config of the run, to which the default may refer

    """
    primary = _config_file("train.yaml")
    first = part.partition(".")[0]
    if first in primary:
        default = primary[first]
    else:
        (chosen,) = [entry[first] for entry in primary["defaults"] if isinstance(entry, dict) and first in entry]
        default = {}
        for option in [chosen] if isinstance(chosen, str) else chosen:
            default |= _config_file(f"{first}/{option}.yaml")
    resolved: Any = OmegaConf.create({**config, first: default})
    return _value_of({first: OmegaConf.to_object(resolved[first]) if isinstance(default, dict) else default}, part)


@cache
def _config_file(name: str) -> dict[str, Any]:
    """Return the content of a file of the config folder, which is read once: parsing takes longer than the checks."""
    content: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / name))
    return dict(content)


def _value_of(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for word in key.split("."):
        value = value[word]
    return value
