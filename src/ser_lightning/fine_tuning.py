"""Start from the weights of a checkpoint, freeze modules, and give modules learning rates of their own."""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ser_lightning.build import corpora_of, is_baseline
from ser_lightning.checkpoint import Checkpoint, build_model, read_checkpoint
from ser_lightning.errors import InputError, suggestion

log = logging.getLogger(__name__)


def initialize(
    model: nn.Module, config: Mapping[str, Any], *, emotions: Sequence[str], features: int
) -> dict[str, Any] | None:
    """Copy the weights of the checkpoint ``init_from`` into a new network.

    A tensor is taken if the network has one of the same name and shape. The output layer is only taken if the labels
    are the same in the same order. The input standardization is fitted to the training set as in every run, unless it
    is frozen.

    Args:
        model: the network, changed in place
        config: resolved config of the run
        emotions: class names in order
        features: F, size of the feature axis

    Returns:
        What was taken and what was not, by tensor name, and warnings; None without ``init_from``.

    Raises:
        InputError: the checkpoint cannot be used, or it has no tensor for this network

    """
    path = config["init_from"]
    if path is None:
        return None
    checkpoint = read_checkpoint(path, trust=config["trust"])
    if is_baseline(checkpoint.config["model"]):
        raise InputError(f"init_from: {path} is a classical model; expected a network")
    prefix = "model."
    stored = {n.removeprefix(prefix): value for n, value in checkpoint.state.items() if n.startswith(prefix)}
    output = _output_layer(config, features=features, classes=len(emotions))
    expected = model.state_dict()
    new: dict[str, str] = {}
    for name, value in expected.items():
        if name not in stored:
            new[name] = "not in the checkpoint"
        elif name in output and checkpoint.emotions != tuple(emotions):
            new[name] = "the labels differ"
        elif stored[name].shape != value.shape:
            new[name] = f"shape {tuple(stored[name].shape)} in the checkpoint, {tuple(value.shape)} here"
        elif name.startswith("standardize.") and "standardize" not in config["freeze"]:
            new[name] = "fitted to the training set"
    taken = [name for name in expected if name not in new]
    unused = sorted(stored.keys() - expected.keys())
    if not taken:
        name, reason = next(iter(new.items()))
        raise InputError(f"init_from: no weight of {path} fits this network ({name}: {reason}); expected its model=")
    model.load_state_dict({name: stored[name] for name in taken}, strict=False)
    warnings = list(_warnings(checkpoint, config))
    log.info("init_from: %d of %d tensors taken from %s", len(taken), len(expected), path)
    for name, reason in new.items():
        log.info("init_from: %s is new (%s)", name, reason)
    if unused:
        log.info("init_from: not used: %s", ", ".join(unused))
    for warning in warnings:
        log.warning("init_from: %s", warning)
    return {
        "checkpoint": str(path),
        "sha256": config["init_from_sha256"],
        "emotions": list(checkpoint.emotions),
        "taken": taken,
        "new": new,
        "unused": unused,
        "warnings": warnings,
    }


def _output_layer(config: Mapping[str, Any], *, features: int, classes: int) -> set[str]:
    """Return the names of the tensors whose shape depends on the number of classes."""
    with torch.random.fork_rng(devices=[]):
        few, many = (build_model(config, features=features, classes=n).state_dict() for n in (classes, classes + 1))
    return {name for name, value in few.items() if name not in many or many[name].shape != value.shape}


def _warnings(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Iterable[str]:
    before = checkpoint.config
    if _without_backend(before["features"]) != _without_backend(config["features"]):
        yield "the checkpoint was trained on other features"
    if corpora_of(before["corpus"]) & corpora_of(config["corpus"]) and before.get("split") != config["split"]:
        yield (
            "the checkpoint was trained on the same corpus with another split: its training clips may be among"
            " the test clips of this run"
        )


def _without_backend(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in json.loads(json.dumps(values)).items() if key != "backend"}


def freeze(model: nn.Module, names: object) -> list[nn.Module]:
    """Exclude modules from training and return all of their submodules, which :func:`set_frozen_mode` needs.

    Args:
        model: the network
        names: names of modules, as in ``model.named_modules()``

    Raises:
        InputError: there is no such module, or no parameter is left to train

    """
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise InputError(f"freeze is {names!r}; expected a list of modules, such as freeze=[convolutions]")
    modules = dict(model.named_modules())
    frozen: list[nn.Module] = []
    for name in names:
        _check_name("freeze", name, modules)
        modules[name].requires_grad_(False)
        frozen += modules[name].modules()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"freeze is {list(names)}, which leaves no parameter to train; expected fewer modules")
    return frozen


def set_frozen_mode(frozen: Iterable[nn.Module]) -> None:
    """Put frozen modules into evaluation mode: without dropout, and with the running statistics of BatchNorm unchanged.

    A recurrent layer without dropout stays in training mode, where it computes the same: cuDNN's has no gradient for
    its input in evaluation mode.
    """
    for module in frozen:
        if not isinstance(module, nn.RNNBase) or module.dropout:
            module.training = False


def check_lr_factors(
    factors: object, model: nn.Module, *, optimizer: Mapping[str, Any], scheduler: Mapping[str, Any]
) -> dict[str, float]:
    """Return the factors of the learning rate by module name.

    Raises:
        InputError: an unknown module, a factor that is not above 0, an optimizer without a learning rate, or a
            scheduler that replaces all learning rates

    """
    if factors is None:
        return {}
    if not isinstance(factors, Mapping):
        raise InputError(f"lr_factors is {factors!r}; expected factors by module, such as {{convolutions: 0.1}}")
    modules = dict(model.named_modules())
    for name, factor in factors.items():
        _check_name("lr_factors", name, modules)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
            raise InputError(
                f"lr_factors.{name} is {factor!r}; expected a number above 0 (freeze=[{name}] keeps its weights)"
            )
    if factors and "lr" not in optimizer:
        raise InputError(f"lr_factors needs optim.lr, which {optimizer.get('_target_')} has not; set optim.lr")
    if factors and "max_lr" in scheduler:
        raise InputError(
            f"lr_factors has no effect with {scheduler.get('_target_')}, whose max_lr applies to all modules; choose"
            " another scheduler"
        )
    return dict(factors)


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], *, lr: float | None, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the parameters to train as groups for an optimizer, one per learning rate; the base rate comes first.

    Args:
        parameters: names within the network, and parameters; frozen ones are left out
        lr: the base learning rate; None for the optimizer's default, which needs empty ``factors``
        factors: module name -> factor of the base rate; the longest name that fits a parameter counts

    """
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in parameters:
        fitting = [module for module in factors if name == module or name.startswith(f"{module}.")]
        if parameter.requires_grad:
            groups.setdefault(float(factors[max(fitting, key=len)]) if fitting else 1.0, []).append(parameter)
    return [
        {"params": members, **({} if lr is None else {"lr": lr * factor})}
        for factor, members in groups.items()
        if members
    ]


def _check_name(key: str, name: object, modules: Mapping[str, nn.Module]) -> None:
    known = [module for module in modules if module]
    if name not in known:
        top = [module for module in known if "." not in module]
        raise InputError(
            f"{key} names {name!r}, which is no module of the network; its modules are {', '.join(top)}"
            f"{suggestion(str(name), known)}"
        )
