"""``ser-import``: the study's released weights as a checkpoint of ours."""

import re
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from ser_lightning.atomic import write_atomically
from ser_lightning.build import build, build_corpus
from ser_lightning.checkpoint import KEY, build_model, contents, load_plain, load_state
from ser_lightning.commands import cli
from ser_lightning.errors import InputError

# Names in the released SER_Dropout_Model -> names in CNNBiLSTM.
NAMES = (
    (r"MFCC_feature_extraction\.0\.(\w+)", r"convolutions.0.\1"),
    (r"MFCC_feature_extraction\.2\.(\w+)", r"convolutions.1.\1"),
    (r"lstm\.(\w+_l0)_reverse", r"lstm.back.\1"),
    (r"lstm\.(\w+_l0)", r"lstm.ahead.\1"),
    (r"classify\.(\d+\.\w+)", r"classifier.\1"),
)


def main() -> None:
    """Console script ``ser-import``."""
    cli.run("ser-import", "import", import_weights)


def import_weights(config: DictConfig) -> None:
    """Write the checkpoint."""
    plain = cli.plain(
        config,
        needs=(
            "weights",
            "output",
        ),
    )
    weights, output = Path(plain.pop("weights")), Path(plain.pop("output"))
    state = {rename(name): value for name, value in read_state(weights).items()}
    emotions = build_corpus(plain["corpus"]).emotions
    features = build("features", plain["features"]).size
    model = build_model(plain, features=features, classes=len(emotions))
    load_state(model, state, path=weights)
    with write_atomically(output, "wb") as file:
        torch.save(
            {
                "state_dict": {f"model.{name}": value for name, value in model.state_dict().items()},
                KEY: contents(config=plain, emotions=emotions, features=features),
            },
            file,
        )
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count} parameters of {weights}: {output}")


def rename(name: str) -> str:
    """Return our name of a released tensor; an unknown one stays as it is, to be refused by name.

    >>> rename("lstm.weight_ih_l0_reverse")
    'lstm.back.weight_ih_l0'
    """
    for pattern, replacement in NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing anything in it.

    Raises:
        InputError: no file, one of something else, a dict that does not hold tensors

    """
    if not path.is_file():
        raise InputError(f"there is no {path}; give weights=<the released model.pt>")
    state = load_plain(path)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(f"{path} holds a {type(state).__name__} that is no state dict; expected names and tensors")
    return dict(state)
