"""The model of commands without ``--model``."""

import sys

from ser_lightning.cli.exported import exported_path
from ser_lightning.errors import InputError
from ser_lightning.memory import permanent_imports
from ser_lightning.predict.defaults import DEFAULT_MODEL

TRAINED_ON = "EmoDB, 535 acted recordings of 10 German speakers"


def default_model(command: str) -> str:
    """Return the path of the default model and say on standard error which one it is.

    Args:
        command: name of the command, for the message

    Raises:
        InputError: the encoder that computes its features is not installed

    """
    if not exported_path(DEFAULT_MODEL).is_file():  # which contains the encoder
        _check_encoder()
    print(
        f"{command}: without --model, the default model is used, trained on {TRAINED_ON}; expect more errors on other"
        f" speech (see {DEFAULT_MODEL.with_name('MODEL_CARD.md')})",
        file=sys.stderr,
    )
    return str(DEFAULT_MODEL)


def _check_encoder() -> None:
    with permanent_imports("torch"):
        from ser_lightning.features.encoders.smart_turn import find_model  # imports torch

    try:
        find_model()
    except InputError as error:
        raise InputError(f"the default model cannot be used: {error}; or give --model CHECKPOINT") from error
