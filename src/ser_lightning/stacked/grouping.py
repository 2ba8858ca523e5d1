"""Decide which runs of a sweep are trained as one, without importing torch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ser_lightning.build import is_baseline
from ser_lightning.config_files import read_file

# Sections and keys in which the runs of a stack may differ.
MAY_DIFFER = (
    *("name", "run_id", "folder", "seed", "split", "dropout", "init_from", "init_from_sha256", "logger", "callbacks"),
    *("loss", "scheduler", "checkpoint", "monitor", "mode", "calibrate", "study_metric"),
    *("data.teacher", "data.teacher_sha256", "data.teacher_share", "data.teacher_temperature"),
    *("optim.lr", "optim.weight_decay", "trainer.max_epochs", "trainer.min_epochs", "trainer.gradient_clip_val"),
)
OPTIMIZERS = ("torch.optim.Adam", "torch.optim.AdamW", "torch.optim.SGD")
OPTIMIZER_KEYS = {"_target_", "_partial_", "lr", "weight_decay", "betas", "eps", "momentum", "nesterov", "fused"}
LOSS = "ser_lightning.losses.EmotionLoss"
BATCH_AUGMENTATIONS = ("mixup.Mixup", "spec_augment.SpecAugment", "spectrogram.SpectrogramAugment")
# Options of the Trainer that a stack follows, or that change no result.
TRAINER = {
    *("max_epochs", "min_epochs", "gradient_clip_val", "accelerator", "deterministic", "benchmark"),
    *("enable_progress_bar", "enable_model_summary", "log_every_n_steps"),
}
ALLOWED_TRAINER = {"gradient_clip_algorithm": (None, "norm"), "precision": (None, 32, "32", "32-true")}
ACCELERATORS = ("auto", "cpu", "gpu", "cuda")
CHECKPOINT, EARLY_STOPPING = "ModelCheckpoint", "EarlyStopping"
OF_CHECKPOINTS = {"dirpath", "monitor", "mode"}  # what a run may change in its two checkpoints


class Groups(NamedTuple):
    """Settings with which the runs of a sweep are trained.

    Args:
        stacks: indices of the runs of each stack, at least two each
        others: index -> why the ordinary launcher trains the run

    """

    stacks: list[list[int]]
    others: dict[int, str]


def group_runs(configs: Sequence[Mapping[str, Any]]) -> Groups:
    """Group runs that can be trained as one.

    Args:
        configs: resolved config of each run

    """
    folders = [config["folder"] for config in configs]
    members: dict[str, list[int]] = {}
    others: dict[int, str] = {}
    for index, config in enumerate(configs):
        reason = reason_against(config)
        if reason is None and folders.count(folders[index]) > 1:
            reason = "another run has the same folder"
        if reason is None:
            members.setdefault(json.dumps(_common(config), sort_keys=True), []).append(index)
        else:
            others[index] = reason
    alone = {group[0] for group in members.values() if len(group) == 1}
    others |= dict.fromkeys(alone, "no other run of the sweep has its network, features and data options")
    return Groups([group for group in members.values() if len(group) > 1], dict(sorted(others.items())))


def reason_against(config: Mapping[str, Any]) -> str | None:
    """Return why a run cannot be part of any stack, or None."""
    if is_baseline(config["model"]):
        return "a classical model is fitted once, without epochs"
    is_set = {
        "trust": bool(config["trust"]),
        "optim": config["optim"].get("_target_") not in OPTIMIZERS or not config["optim"].keys() <= OPTIMIZER_KEYS,
        "loss": config["loss"].get("_target_") != LOSS,
        **{f"trainer.{name}": True for name in _unsupported_options(config["trainer"])},
        **{f"callbacks.{name}": True for name in _unsupported_callbacks(config["callbacks"])},
    }
    unsupported = [key for key, problem in is_set.items() if problem]
    return f"{', '.join(unsupported)} is set to what a stack does not have" if unsupported else None


def _unsupported_options(options: Mapping[str, Any]) -> list[str]:
    defaults = read_file("trainer/default")
    return [
        name
        for name, value in options.items()
        if not (
            name in TRAINER or (name in defaults and value == defaults[name]) or value in ALLOWED_TRAINER.get(name, ())
        )
        or (name == "accelerator" and value not in ACCELERATORS)
    ]


def _unsupported_callbacks(callbacks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    defaults = read_file("callbacks/default")
    missing = [name for name in defaults if name not in callbacks]
    unsupported = []
    for name, part in callbacks.items():
        kind = str(part.get("_target_")).rpartition(".")[2]
        usual = name in defaults and _without(part, OF_CHECKPOINTS) == _without(defaults[name], OF_CHECKPOINTS)
        if not (usual if kind == CHECKPOINT else kind == EARLY_STOPPING):
            unsupported.append(name)
    return [*missing, *unsupported]


def _without(part: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in keys}


def _common(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a config that the runs of a stack have in common."""
    common = {}
    for key, value in section.items():
        path = f"{prefix}{key}"
        is_probability = path.startswith("model.") and "dropout" in key and type(value) in (int, float)
        if path in MAY_DIFFER or is_probability:
            continue
        if path == "augment" and str(value["_target_"]).endswith(BATCH_AUGMENTATIONS):
            common[key] = {"_target_": value["_target_"]}
        else:
            common[key] = _common(value, f"{path}.") if isinstance(value, Mapping) else value
    return common
