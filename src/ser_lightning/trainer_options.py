"""Check the options of a run, among them those of Lightning's Trainer, before any work starts.

Trainer options that are not listed here are passed on unchanged. ``docs/trainer.md`` describes their effects.
"""

import copy
import importlib.util
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from ser_lightning.build import build, check_target
from ser_lightning.data.batch import Batch
from ser_lightning.errors import InputError, suggestion
from ser_lightning.own_code import check_trust
from ser_lightning.results import check_checkpoint
from ser_lightning.task import LOGGED, EmotionTask

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
PRECISIONS = (None, 32, "32", "32-true", "16-mixed", "bf16-mixed")
# Options that a run sets itself -> where to configure their purpose instead.
OURS = {
    "logger": "choose logger=[tensorboard,csv]",
    "callbacks": "add to the group callbacks, as +callbacks.name._target_=...",
    "plugins": "leave it out: checkpoints are written atomically by a plugin of this project",
    "default_root_dir": "set output_root, name or run_id",
    "max_steps": "set trainer.max_epochs: a run can only be resumed at the end of an epoch",
    "min_steps": "set trainer.min_epochs",
    "enable_checkpointing": "leave it out: the result is of checkpoints",
    "barebones": "use trainer.fast_dev_run=true to try a configuration",
    "use_distributed_sampler": "leave it out: the batch sampler divides the clips among processes",
}
STANDARD = {
    "max_steps": -1,
    "min_steps": None,
    "enable_checkpointing": True,
    "barebones": False,
    "use_distributed_sampler": False,
}
EXTRA_LOGGERS = ("wandb", "mlflow")


def check_options(config: Mapping[str, Any]) -> None:
    """Check the values of a run that no part checks when it is built.

    Args:
        config: resolved config of the run

    Raises:
        InputError: a value is invalid

    """
    kinds = {"seed": int, "threads": int, "name": str, "run_id": str, "study_metric": bool, "calibrate": bool}
    for key, kind in kinds.items():
        if type(config[key]) is not kind:
            raise InputError(f"{key} is {config[key]!r}; expected {kind.__name__}")
    if config["threads"] < 1 or not 0 <= config["seed"] < 2**32:
        raise InputError(
            f"threads is {config['threads']} and seed {config['seed']}; expected at least 1 and 0 to 2^32-1"
        )
    for key in ("name", "run_id"):
        if Path(config[key]).is_absolute() or ".." in Path(config[key]).parts:
            raise InputError(f"{key} is {config[key]!r}; expected a folder below output_root")
    _check_ensemble(config)
    check_trust(config["trust"])
    check_checkpoint(config["checkpoint"])
    check_trainer_options(config)
    check_callbacks(config)
    _check_loggers(config)
    _check_monitors(config)


def _check_ensemble(config: Mapping[str, Any]) -> None:
    size = config["ensemble"]
    if type(size) is not int or size < 1:
        raise InputError(f"ensemble is {size!r}; expected the number of networks, at least 1")
    given = [key for key in ("init_from", "freeze", "lr_factors") if config[key]]
    if size > 1 and given:
        raise InputError(f"ensemble is {size} with {given[0]}, which is for a single network; expected ensemble=1")


def _check_loggers(config: Mapping[str, Any]) -> None:
    for name, part in _loggers(config).items():
        check_target(f"logger.{name}", part, trust=config["trust"])
        if name in EXTRA_LOGGERS and importlib.util.find_spec(name) is None:
            raise InputError(f"logger={name} needs a library that is missing; pip install 'ser-lightning[{name}]'")


def _check_monitors(config: Mapping[str, Any]) -> None:
    known = [f"{subset}/{name}" for subset in ("train", "val") for name in LOGGED]
    monitors = {"monitor": config["monitor"]} | {
        f"callbacks.{name}.monitor": part["monitor"]
        for name, part in config["callbacks"].items()
        if part.get("monitor")
    }
    if config["scheduler"].get("monitor") is not None:
        monitors["scheduler.monitor"] = config["scheduler"]["monitor"]
    for key, monitor in monitors.items():
        if monitor not in known:
            raise InputError(f"{key} is {monitor!r}; logged are {', '.join(known)}{suggestion(str(monitor), known)}")


def build_loggers(config: Mapping[str, Any]) -> list[Logger]:
    """Build the chosen loggers; some create files when they are built."""
    return [build(f"logger.{name}", part, trust=config["trust"]) for name, part in _loggers(config).items()]


def _loggers(config: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return config.get("logger") or {}


def check_trainer_options(config: Mapping[str, Any]) -> None:
    """Check that the Trainer's options are supported by a run.

    Args:
        config: resolved config of the run

    Raises:
        InputError: an option would have no effect, or would prevent a valid result

    """
    options = config["trainer"]
    for name, remedy in OURS.items():
        if name in options and options[name] != STANDARD.get(name, options):
            expected = f"expected {STANDARD[name]}" if name in STANDARD else "expected no such key"
            raise InputError(f"trainer.{name} is {options[name]!r}; {expected}; {remedy}")
    for name, check, expected in _CHECKS:
        if name in options and not check(options[name]):
            raise InputError(f"trainer.{name} is {options[name]!r}; expected {expected}")
    on_cpu = options.get("accelerator") == "cpu" or not torch.accelerator.is_available()
    if options.get("precision") == "16-mixed" and on_cpu:
        raise InputError("trainer.precision is '16-mixed', which a CPU does not have; choose bf16-mixed or 32-true")
    mixed, clipped = str(options.get("precision")).endswith("-mixed"), options.get("gradient_clip_val")
    if mixed and clipped and config["optim"].get("fused"):
        raise InputError(
            f"trainer.precision is {options['precision']!r} with optim.fused=true, where Lightning cannot clip;"
            " set optim.fused=false, or trainer.gradient_clip_val=null"
        )
    if processes(options) != 1 and options.get("strategy", "auto") == "auto" and options.get("accelerator") == "cpu":
        raise InputError(
            f"trainer.devices is {options['devices']} with trainer.strategy=auto; expected trainer.strategy=ddp"
        )
    evaluation = {key for key, on in config["evaluation"].items() if on is True}
    if processes(options) != 1 and evaluation:
        raise InputError(
            f"trainer.devices is {options['devices']} with evaluation.{min(evaluation)}=true; expected 1 device: these"
            " evaluations depend on how clips are batched"
        )


def averages_weights(config: Mapping[str, Any]) -> bool:
    """Return whether a callback replaces the weights after the last epoch."""
    return any(
        str(part.get("_target_")).endswith((".StochasticWeightAveraging", ".WeightAveraging", ".EMAWeightAveraging"))
        for part in config["callbacks"].values()
    )


def processes(options: Mapping[str, Any]) -> object:
    """Return the requested number of devices; 1 by default."""
    return options.get("devices", 1)


def _is_count(value: object, *, least: int = 1) -> bool:
    return type(value) is int and value >= least


def _is_share_or_count(value: object) -> bool:
    return value is None or _is_count(value) or (isinstance(value, float) and 0 < value <= 1)


_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("max_epochs", _is_count, "a whole number of at least 1"),
    ("min_epochs", lambda value: value is None or _is_count(value, least=0), "a whole number of at least 0, or null"),
    (
        "devices",
        lambda value: value == "auto" or _is_count(value),
        "a whole number of at least 1, or auto; choose a GPU by CUDA_VISIBLE_DEVICES",
    ),
    ("num_nodes", lambda value: value == 1, "1: runs are divided over the processes of one machine"),
    (
        "strategy",
        lambda value: value in STRATEGIES,
        f"one of {', '.join(STRATEGIES)}: others spawn processes that return no result, or shard networks of gigabytes",
    ),
    (
        "precision",
        lambda value: value in PRECISIONS,
        "32-true, 16-mixed or bf16-mixed: weights and results are kept in 32 bits",
    ),
    ("limit_train_batches", _is_share_or_count, "a share above 0 or a number of batches of at least 1"),
    (
        "limit_val_batches",
        _is_share_or_count,
        "a share above 0 or a number of batches of at least 1: validation chooses the best checkpoint",
    ),
    (
        "limit_test_batches",
        lambda value: value in (None, 1.0),
        "null: the result is always of all test clips; for fewer use another split",
    ),
    ("limit_predict_batches", lambda value: value in (None, 1.0), "null: all clips are predicted"),
    (
        "check_val_every_n_epoch",
        _is_count,
        "a whole number of at least 1: the best checkpoint is chosen at the end of epochs",
    ),
    (
        "val_check_interval",
        lambda value: value is None or (isinstance(value, float) and 0 < value <= 1),
        "null or a share of an epoch above 0, at most 1.0",
    ),
    ("accumulate_grad_batches", _is_count, "a whole number of at least 1"),
    ("num_sanity_val_steps", lambda value: type(value) is int and value >= -1, "a whole number of at least -1"),
    ("overfit_batches", lambda value: value == 0 or _is_share_or_count(value), "0, a share, or a number of batches"),
    (
        "fast_dev_run",
        lambda value: type(value) is bool or _is_count(value, least=0),
        "true, false or a number of batches",
    ),
    ("deterministic", lambda value: value in (True, False, None, "warn"), "true, false or warn"),
    ("sync_batchnorm", lambda value: value in (False, None), "false: torch has it for several GPUs alone"),
    ("inference_mode", lambda value: type(value) is bool, "true or false"),
)


def check_callbacks(config: Mapping[str, Any]) -> None:
    """Reject combinations of callbacks that would fail silently.

    Raises:
        InputError: a learning rate search is combined with a scheduler or with several processes

    """
    targets = {str(part.get("_target_")).rpartition(".")[2]: name for name, part in config["callbacks"].items()}
    finder = targets.get("LearningRateFinder")
    if finder is not None and config["scheduler"]:
        schedule = config["scheduler"].get("_target_")
        raise InputError(
            f"callbacks.{finder} finds a learning rate, which {schedule} would replace; choose scheduler=none,"
            " or set optim.lr to what was found"
        )
    if finder is not None and processes(config["trainer"]) != 1:
        raise InputError(f"callbacks.{finder} is for one process; expected trainer.devices=1")


def check_precision(trainer: pl.Trainer, task: EmotionTask, *, features: int) -> None:
    """Run a forward and backward pass of a copy of the network in the precision of the Trainer.

    Args:
        trainer: the Trainer with the precision
        task: the task, left unchanged
        features: F, size of the feature axis

    Raises:
        InputError: this machine cannot compute the network in that precision

    """
    if trainer.precision == "32-true":
        return
    device = trainer.strategy.root_device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trial = copy.deepcopy(task.model).to(device)
        lengths = torch.tensor([300, 280], device=device)
        batch = Batch(torch.rand(2, 300, features, device=device), lengths, lengths % 2, lengths)
        try:
            with trainer.precision_plugin.forward_context():
                task.loss(trial(batch.features, batch.lengths), batch.target).backward()
        except RuntimeError as error:
            raise InputError(
                f"trainer.precision is {trainer.precision!r}, in which this {device.type} cannot compute"
                f" {type(task.model).__name__} ({str(error).splitlines()[0]}); choose trainer.precision=32-true"
            ) from error


def is_lightnings_own(error: Exception) -> bool:
    """Return whether an error was raised by Lightning itself, to reject an option or a combination of options."""
    package = str(traceback.extract_tb(error.__traceback__)[-1].filename)
    return "pytorch_lightning" in package or "lightning_fabric" in package
