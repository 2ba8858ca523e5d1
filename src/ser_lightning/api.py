"""Functions for Python scripts and notebooks: load a classifier, list a corpus, extract features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser_lightning.build import build, build_corpus
from ser_lightning.classifier import Classifier
from ser_lightning.config_files import options, primary_values, values_of
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, suggestion
from ser_lightning.waveform import Waveform, prepare_waveform


def load(checkpoint: str | Path, *, trust: Sequence[str] = ()) -> Classifier:
    """Load the emotion classifier of a checkpoint; see :class:`Classifier`."""
    return Classifier(checkpoint, trust=trust)


def load_corpus(name: str, **values: object) -> list[Utterance]:
    """List the utterances of a corpus.

    Args:
        name: an option of ``corpus``, such as ``"emodb"``
        values: values of its configuration, such as ``root="/data/emodb"``

    Raises:
        InputError: the corpus or a value is unknown, or the corpus has problems

    """
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    corpus = build_corpus(_compose(corpus=name)["corpus"] | plain)
    return list(corpus.scan().utterances)


def extract(
    waveform: Waveform, sampling_rate: int, *, features: str = "paper", audio: str = "webrtc"
) -> npt.NDArray[np.float32]:
    """Extract the features of a recording.

    Args:
        waveform: (samples,) or (samples, channels), full scale 1
        sampling_rate: its sampling rate, Hz
        features: an option of ``features``
        audio: an option of ``audio``: the sampling rate, and whether the recording is cut to speech

    Returns:
        (K, F), frames and features

    Raises:
        InputError: an option is unknown; or the waveform is empty, not finite, or not of floating point numbers

    """
    config = _compose(features=features, audio=audio)
    wave = prepare_waveform(build("audio", config["audio"]), waveform, sampling_rate)
    matrix: npt.NDArray[np.float32] = build("features", config["features"])(wave)
    return matrix


def _compose(**chosen: str) -> dict[str, Any]:
    """Return the values of options by group, with interpolations between these groups resolved."""
    for group, option in chosen.items():
        known = options(group)
        if option not in known:
            raise InputError(f"{group} is {option!r}; expected one of {', '.join(known)}{suggestion(option, known)}")
    parts = {group: values_of(group, option) for group, option in chosen.items()}
    config = OmegaConf.create(primary_values("train") | {"corpus": {"downmix": "mean"}} | parts)
    try:
        return {group: OmegaConf.to_container(config[group], resolve=True) for group in chosen}
    except OmegaConfBaseException as error:
        raise InputError(f"{chosen} cannot be used alone: {' '.join(str(error).split())}") from error
