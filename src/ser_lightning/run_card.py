"""Write the model card of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.report.model_card import model_card
from ser_lightning.report.predictions import load_predictions
from ser_lightning.report.robustness import read_robustness

NAME = "MODEL_CARD.md"


def write_model_card(folder: Path, result: Mapping[str, Any], utterances: Sequence[Utterance]) -> None:
    """Write ``MODEL_CARD.md`` to the folder of a run, atomically.

    Args:
        folder: folder of the run, with ``predictions.csv``
        result: content of ``result.json``
        utterances: the corpus

    """
    names = sorted({utterance.corpus for utterance in utterances} & DEFINITIONS.keys())
    corpora = {
        name: {field: str(getattr(DEFINITIONS[name], field)) for field in ("title", "license", "source")}
        for name in names
    }
    languages = sorted({utterance.language for utterance in utterances if utterance.language})
    robustness = read_robustness(folder)
    text = model_card(result, load_predictions(folder), corpora=corpora, languages=languages, robustness=robustness)
    with write_atomically(folder / NAME) as file:
        file.write(text)
