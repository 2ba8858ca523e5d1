"""Convert the weights released by the study to a checkpoint of this package."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ser_lightning.build import build, build_corpus
from ser_lightning.checkpoint import KEY, build_model, contents, load_plain, load_state
from ser_lightning.errors import InputError, printable

# Names in the released SER_Dropout_Model -> names in CNNBiLSTM.
NAMES = (
    (r"MFCC_feature_extraction\.0\.(\w+)", r"convolutions.0.\1"),
    (r"MFCC_feature_extraction\.2\.(\w+)", r"convolutions.1.\1"),
    (r"lstm\.(\w+_l0)_reverse", r"lstm.backward_lstm.\1"),
    (r"lstm\.(\w+_l0)", r"lstm.forward_lstm.\1"),
    (r"classify\.(\d+\.\w+)", r"classifier.\1"),
)


def convert_weights(path: Path, *, config: Mapping[str, Any]) -> tuple[bytes, int]:
    """Return the content of a checkpoint with the released weights, and the number of parameters.

    Args:
        path: the released state dict
        config: resolved config of the run that the checkpoint stands for

    Raises:
        InputError: the file does not hold the released weights, or the config does not fit them

    """
    state = {rename(name): value for name, value in read_state(path).items()}
    emotions = build_corpus(config["corpus"]).emotions
    features = build("features", config["features"]).size
    model = build_model(config, features=features, classes=len(emotions))
    load_state(model, state, path=path)
    content = io.BytesIO()
    torch.save(
        {
            "state_dict": {f"model.{name}": value for name, value in model.state_dict().items()},
            KEY: contents(config=config, emotions=emotions, features=features),
        },
        content,
    )
    return content.getvalue(), sum(parameter.numel() for parameter in model.parameters())


def rename(name: str) -> str:
    """Return this package's name of a released tensor; unknown names are returned unchanged and rejected on loading.

    >>> rename("lstm.weight_ih_l0_reverse")
    'lstm.backward_lstm.weight_ih_l0'
    """
    for pattern, replacement in NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing code from the file.

    Raises:
        InputError: the file is missing, is not a state dict, or holds values that are not tensors

    """
    if not path.is_file():
        raise InputError(f"there is no {printable(path)}; give the released model.pt")
    state = load_plain(path)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(f"{path} holds a {type(state).__name__} that is no state dict; expected names and tensors")
    return dict(state)
