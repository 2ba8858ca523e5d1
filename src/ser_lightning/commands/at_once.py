"""What means nothing to a model that is fitted to all clips at once."""

import json
from collections.abc import Mapping
from typing import Any

from ser_lightning.data.altered import BatchAugment
from ser_lightning.errors import InputError
from ser_lightning.runs import LATER

# Values that move gradients or batches, as they are where nothing of the kind is wanted; and the remedy.
STILL: dict[str, tuple[Any, str]] = {
    "trainer.max_epochs": (1, "choose trainer=once"),
    "trainer.gradient_clip_val": (None, "choose trainer=once"),
    "scheduler": (LATER["scheduler"], "choose scheduler=none"),
    "loss.class_weights": (False, "for classes that count alike set model.class_weight=balanced"),
    "loss.label_smoothing": (0.0, "set loss.label_smoothing=0"),
    "data.balance": (LATER["data.balance"], "for classes that count alike set model.class_weight=balanced"),
}


def check_at_once(config: Mapping[str, Any], augment: object, *, model: str) -> None:
    """Refuse what would be passed over without a word.

    Args:
        config: of the run, resolved
        augment: its augmentation
        model: name of the model, for messages

    Raises:
        InputError: a value that moves gradients or batches, or an augmentation that alters batches

    """
    why = f"{model} is fitted to all clips at once"
    for key, (still, remedy) in STILL.items():
        part, _, last = key.rpartition(".")
        value = (config[part] if part else config).get(last)
        if value != still:
            raise InputError(f"{key} is {json.dumps(value)}; expected {json.dumps(still)}: {why}; {remedy}")
    if isinstance(augment, BatchAugment):
        raise InputError(f"augment alters batches: {why}; choose one that makes copies, or augment=none")
