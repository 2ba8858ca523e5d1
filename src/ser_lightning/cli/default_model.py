"""The model of commands without ``--model``."""

import sys
from pathlib import Path

from ser_lightning.errors import InputError

PATH = Path(__file__).parents[1] / "default_model" / "emodb.ckpt"
TRAINED_ON = "EmoDB, 535 acted recordings of 10 German speakers"


def default_model(command: str) -> str:
    """Return the path of the default model and say on standard error which one it is.

    Args:
        command: name of the command, for the message

    Raises:
        InputError: the encoder that computes its features is not installed

    """
    from ser_lightning.features.encoders.smart_turn import find_model

    try:
        find_model()
    except InputError as error:
        raise InputError(f"the default model cannot be used: {error}; or give --model CHECKPOINT") from error
    print(
        f"{command}: without --model, the default model is used, trained on {TRAINED_ON}; expect more errors on other"
        f" speech (see {PATH.with_name('MODEL_CARD.md')})",
        file=sys.stderr,
    )
    return str(PATH)
