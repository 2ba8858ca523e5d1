"""Self-contained checkpoints: config, class names and weights in plain types."""

import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from ser_lightning.atomic import write_atomically
from ser_lightning.build import build, is_baseline
from ser_lightning.calibration.calibration import Calibration
from ser_lightning.errors import InputError
from ser_lightning.models.ensemble import Ensemble
from ser_lightning.recording_conditions import TrainingData

if TYPE_CHECKING:
    from ser_lightning.baselines.baseline import Recipe

Part = TypeVar("Part")
KEY = "ser_lightning"
RESUME = "resume"  # key of the state needed to resume a run
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Content of a checkpoint file.

    Args:
        config: the resolved config of the run
        emotions: class names in order
        features: size of the feature axis of the model's input
        epoch: index of the last trained epoch, counted from 0
        state: ``state_dict`` of the task
        calibration: certainty as measured on validation clips; None if the run has not finished, or was not calibrated
        training_data: conditions of the training clips; None if the run has not finished

    """

    config: dict[str, Any]
    emotions: tuple[str, ...]
    features: int
    epoch: int
    state: dict[str, Any]
    calibration: Calibration | None = None
    training_data: TrainingData | None = None


def previous(path: Path) -> Path:
    """Return the path under which the predecessor of a checkpoint is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def contents(*, config: Mapping[str, Any], emotions: tuple[str, ...], features: int) -> dict[str, Any]:
    """Return the data that a checkpoint holds in addition to Lightning's own keys."""
    return {"format": FORMAT, "config": dict(config), "emotions": list(emotions), "features": features}


def read_checkpoint(path: str | Path, *, trust: Sequence[str] = ()) -> Checkpoint:
    """Read a checkpoint without executing code from the file.

    Args:
        path: the checkpoint
        trust: packages of the user whose classes the checkpoint may name; they replace the list in its config

    Raises:
        InputError: the file is missing, damaged, not a checkpoint, or of another program or format version; or it was
            trained with classes of a package that is not in ``trust``

    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}; give <run folder>/checkpoints/best.ckpt")
    raw = load_plain(path)
    if not isinstance(raw, dict) or KEY not in raw or "state_dict" not in raw:
        raise InputError(
            f"{path} is not a checkpoint of ser_lightning: it contains no config; ser-import turns the released weights"
            " into one"
        )
    stored = raw[KEY]
    if stored.get("format") != FORMAT:
        raise InputError(f"{path} has checkpoint format {stored.get('format')}, expected {FORMAT}; train it again")
    try:
        checkpoint = Checkpoint(
            config=dict(stored["config"]),
            emotions=tuple(stored["emotions"]),
            features=int(stored["features"]),
            epoch=int(raw.get("epoch", 0)),
            state={name: value for name, value in raw["state_dict"].items() if isinstance(value, Tensor)},
            calibration=_read(Calibration.from_plain, stored.get("calibration"), path),
            training_data=_read(TrainingData.from_plain, stored.get("training_data"), path),
        )
        checkpoint.config["model"]["_target_"], checkpoint.config["features"]["standardize"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error!r} in its config or weights; write it again") from error
    _check_plain(checkpoint.config, path)
    named = checkpoint.config.get("trust", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise InputError(f"{path} is damaged: trust is {named!r} in its config; expected a list of packages")
    missing = [name for name in named if name not in trust]
    if missing:
        raise InputError(
            f"{path} uses classes of {', '.join(missing)}, which is no part of ser_lightning. If you have and trust"
            f" this code, give {' '.join(f'--trust {name}' for name in missing)} (in Python: trust={missing})."
        )
    checkpoint.config["trust"] = list(trust)
    return checkpoint


def _read(parse: Callable[[Any], Part], values: Any, path: Path) -> Part | None:
    """Return a part of a checkpoint that a finished run has added, or None.

    Raises:
        InputError: the part is damaged

    """
    try:
        return None if values is None else parse(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def complete_checkpoint(path: Path, **values: Any) -> None:
    """Add what is measured after training to a checkpoint, atomically.

    Args:
        path: the checkpoint
        values: plain values beside those of :func:`contents`

    """
    raw = load_plain(path)
    raw[KEY] |= values
    with write_atomically(path, "wb") as file:
        torch.save(raw, file)


def _check_plain(config: Mapping[str, Any], path: Path) -> None:
    """Check that a config contains only plain values: an interpolation could read the user's environment.

    Raises:
        InputError: there is an object, or a string with an interpolation

    """
    todo: list[tuple[str, Any]] = list(config.items())
    while todo:  # iterative, because an untrusted config may be nested arbitrarily deep
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{key}.{name}", inner) for name, inner in value.items()]
            todo += [(f"{key}: a name", name) for name in value]
        elif isinstance(value, list):
            todo += [(f"{key}[{index}]", inner) for index, inner in enumerate(value)]
        elif isinstance(value, str) and "${" in value:
            raise InputError(f"{path}: {key} in its config is {value!r}; expected plain text, no interpolation")
        elif value is not None and type(value) not in (str, int, float, bool):
            raise InputError(f"{path}: {key} in its config is a {type(value).__name__}; expected a plain value")


def load_plain(path: Path) -> Any:
    """Load a ``torch.save`` file that contains only tensors and plain types, without executing code from it.

    All data is verified against the checksums in the file, which ``torch.load`` ignores.

    Raises:
        InputError: the file is of another kind, is damaged, or contains other objects

    """
    try:
        if not zipfile.is_zipfile(path):  # torch.save writes zip files; legacy pickles are not even opened
            raise InputError(f"{path} is not a file of torch.save, or it is damaged; write it again")
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > path.stat().st_size:  # torch.save does not compress, so a compressed file may be a zip bomb
                raise InputError(
                    f"{path} unpacks to {unpacked} bytes, more than it has; torch.save writes no such file"
                )
            damaged = archive.testzip()
        if damaged is not None:
            raise InputError(f"{path} is damaged: the checksum of {damaged} in it is wrong; write it again")
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # on malformed data the restricted unpickler may raise any exception
        reason = (str(error).splitlines() or [repr(error)])[0][:120]
        raise InputError(
            f"{path} cannot be read as tensors and plain types ({reason}); nothing in it was executed"
        ) from error


def load_state(module: nn.Module, state: Mapping[str, Any], *, path: str | Path) -> None:
    """Load a state dict strictly.

    Raises:
        InputError: tensors are missing, unknown or of the wrong shape

    """
    expected = module.state_dict()
    shapes = {name: (tuple(state[name].shape), tuple(expected[name].shape)) for name in expected.keys() & state.keys()}
    for what, names in (
        ("lacks", sorted(expected.keys() - state.keys())),
        ("has unknown", sorted(state.keys() - expected.keys())),
        ("has misshaped", [f"{name} {a} for {b}" for name, (a, b) in sorted(shapes.items()) if a != b]),
    ):
        if names:
            raise InputError(
                f"{path} is of another model: it {what} {names[0]}"
                + (f" and {len(names) - 1} more" if len(names) > 1 else "")
                + "; use the model it was trained with"
            )
    module.load_state_dict(dict(state))


def rebuild_model(checkpoint: Checkpoint, *, path: str | Path) -> nn.Module:
    """Build the model of a checkpoint with its weights, in evaluation mode.

    Raises:
        InputError: the weights do not fit the model that the config describes

    """
    prefix = "model."
    state = {name[len(prefix) :]: value for name, value in checkpoint.state.items() if name.startswith(prefix)}
    if is_baseline(checkpoint.config["model"]):
        from ser_lightning.baselines import storage  # imports scikit-learn

        return storage.load_baseline(
            state.get(storage.KEY),
            build_recipe(checkpoint.config),
            features=checkpoint.features,
            classes=len(checkpoint.emotions),
            path=path,
        )
    model = build_model(checkpoint.config, features=checkpoint.features, classes=len(checkpoint.emotions))
    load_state(model, state, path=path)
    return model.eval()


def build_model(config: Mapping[str, Any], *, features: int, classes: int) -> nn.Module:
    """Build the untrained network of a config.

    Raises:
        InputError: the model is a classical model, not a network

    """
    if is_baseline(config["model"]):
        raise InputError(f"model._target_ is {config['model']['_target_']!r}, a classical model; expected a network")
    network = functools.partial(
        build,
        "model",
        config["model"],
        trust=config.get("trust", ()),
        features=features,
        classes=classes,
        standardize=config["features"]["standardize"],
    )
    size = config.get("ensemble", 1)
    return network() if size == 1 else Ensemble(network, size=size)


def build_recipe(config: Mapping[str, Any]) -> "Recipe":
    """Build the recipe of a classical model, which makes its pipeline."""
    recipe: Recipe = build(
        "model", config["model"], trust=config.get("trust", ()), standardize=config["features"]["standardize"]
    )
    return recipe
