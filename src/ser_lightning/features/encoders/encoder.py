"""Hidden states of a pretrained speech encoder as features."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ser_lightning.errors import InputError
from ser_lightning.features.checks import check_positive
from ser_lightning.features.encoders.pretraining_data import SMART_TURN, PretrainingData, pretraining_data
from ser_lightning.features.extractor import FeatureExtractor, Floats

RATE = 16000  # Hz, of every encoder


@dataclass(frozen=True, kw_only=True)
class Encoder(FeatureExtractor):
    """Base class: hidden states of a pretrained encoder, which is not trained further here.

    Args:
        layers: hidden states to use, from 0 (input of the first layer) to the number of layers (output of the last
            one); None for all
        pooling: ``mean_deviation`` gives one vector per clip, the mean and the standard deviation of each state over
            time; ``frames`` gives one vector every 20 ms

    Raises:
        InputError: there is no such layer

    """

    layers: Sequence[int] | None
    pooling: Literal["mean_deviation", "frames"]
    analysis_rate: int = field(default=RATE, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        last = self.shape[0] - 1
        layers = tuple(range(last + 1) if self.layers is None else self.layers)
        if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= last for layer in layers):
            raise InputError(f"features.layers is {list(layers)}; expected distinct layers from 0 to {last}")
        object.__setattr__(self, "layers", layers)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Number of hidden states and their width."""

    @property
    @abstractmethod
    def pretraining_data(self) -> PretrainingData:
        """Training data of the encoder."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Name of the encoder, and its version, revision or digest."""

    @property
    def encoder_facts(self) -> dict[str, Any]:
        """Identity and training data of the encoder, which results state beside their figures."""
        data = self.pretraining_data
        seen = None if data.labels is None else list(data.labels)
        return {**self.identity, "trained_on": data.description, "labels_of": seen}

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        states = [f"layer{layer}_{unit:03}" for layer in self.layers or () for unit in range(self.shape[1])]
        if self.pooling == "frames":
            return tuple(states)
        return tuple(f"{state}_{statistic}" for statistic in ("mean", "deviation") for state in states)

    def compute(self, wave: Floats) -> Floats:
        """Compute the features of a valid wave (samples,): (1, F) of a clip, or (K, F) of its frames."""
        states = self.hidden_states(wave)
        frames = np.concatenate([states[layer] for layer in self.layers or ()], axis=1)  # (K, layers * width)
        if self.pooling == "frames":
            return frames
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None]

    @abstractmethod
    def hidden_states(self, wave: Floats) -> Floats:
        """Compute all hidden states (states, K, width) of a wave (samples,), without frames of padding."""


@dataclass(frozen=True, kw_only=True)
class SmartTurn(Encoder):
    """Hidden states of the Whisper-tiny encoder inside Smart Turn 3.2, 7.8 million parameters.

    A clip of more than 8 s is divided into equal parts of at most 8 s, and the frames of the parts are concatenated.

    Args:
        layers: hidden states to use, from 0 (input of the first layer) to 4 (output of the last layer); None for all
        pooling: ``mean_deviation`` gives one vector per clip, the mean and the standard deviation of each state over
            time; ``frames`` gives one vector every 20 ms
        crop: whether to leave out the silence with which the encoder pads clips to 8 s. It is several times faster, and
            the states differ a little, because the encoder also attends to the padding.

    Raises:
        InputError: a value is out of range, or the encoder is not installed

    Source: Smart Turn v3.2 (Daily, BSD-2); Radford et al. 2022 (arXiv 2212.04356)

    """

    concurrent: ClassVar[bool] = True

    crop: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        from ser_lightning.features.encoders import smart_turn  # imports torch

        smart_turn.find_model()  # reports a missing encoder before any work starts

    @property
    def shape(self) -> tuple[int, int]:
        """Number of hidden states and their width."""
        from ser_lightning.features.encoders import smart_turn

        return smart_turn.LAYERS + 1, smart_turn.WIDTH

    @property
    def pretraining_data(self) -> PretrainingData:
        """Training data of the encoder."""
        return SMART_TURN

    @property
    def identity(self) -> dict[str, str]:
        """Name and version of the encoder."""
        from ser_lightning.features.encoders import smart_turn

        return {"name": "Smart Turn 3.2", "sha256": smart_turn.SHA256}

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return (*super().libraries, "torch", "librosa")

    def hidden_states(self, wave: Floats) -> Floats:
        """Compute the hidden states up to the last used layer, (states, K, 384), of a wave (samples,)."""
        from ser_lightning.features.encoders import smart_turn

        return smart_turn.hidden_states(wave, crop=self.crop, last=max(self.layers or (0,)))


@dataclass(frozen=True, kw_only=True)
class HuggingFaceEncoder(Encoder):
    """Hidden states of an encoder that the library transformers loads.

    Supported are wav2vec 2.0 (also XLS-R), HuBERT, WavLM, UniSpeech-SAT, data2vec-audio and the encoders of Whisper.
    A recording is normalized as the encoder's own ``preprocessor_config.json`` says. A longer one than ``window`` is
    divided into equal parts, each is normalized and encoded alone, and their frames are concatenated.

    Args:
        layers: hidden states to use, from 0 (input of the first layer) to the number of layers (output of the last
            one); None for all
        pooling: ``mean_deviation`` gives one vector per clip, the mean and the standard deviation of each state over
            time; ``frames`` gives one vector every 20 ms
        encoder: name on the Hugging Face hub, such as ``microsoft/wavlm-base-plus``, or a local folder
        revision: commit hash of the hub's repository, 40 hexadecimal digits; None for a local folder
        sha256: digest of the files of a local folder; None accepts any
        download: whether to download the encoder if it is not in the local cache
        window: length in seconds of the longest recording that is encoded at once; Whisper encoders have 30 s

    Raises:
        InputError: a value is out of range, transformers is not installed, or the encoder cannot be loaded

    """

    encoder: str | None
    revision: str | None
    sha256: str | None
    download: bool
    window: float
    source: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from ser_lightning.features.encoders import huggingface  # imports transformers

        check_positive(window=self.window)
        source = huggingface.find_source(
            self.encoder, revision=self.revision, sha256=self.sha256, download=self.download
        )
        object.__setattr__(self, "sha256", source.sha256)
        object.__setattr__(self, "source", source)
        huggingface.check_window(source, self.window)
        super().__post_init__()

    @property
    def shape(self) -> tuple[int, int]:
        """Number of hidden states and their width."""
        from ser_lightning.features.encoders import huggingface

        return huggingface.shape_of(self.source)

    @property
    def pretraining_data(self) -> PretrainingData:
        """Training data of the encoder."""
        name = str(self.encoder)
        return pretraining_data(name if self.sha256 is None else Path(name).name)

    @property
    def identity(self) -> dict[str, str]:
        """Name of the encoder, and its revision or digest."""
        version = {"revision": self.revision} if self.sha256 is None else {"sha256": self.sha256}
        return {"name": str(self.encoder), **{key: str(value) for key, value in version.items()}}

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return (*super().libraries, "torch", "transformers")

    def hidden_states(self, wave: Floats) -> Floats:
        """Compute all hidden states (states, K, width) of a wave (samples,), without frames of padding."""
        from ser_lightning.features.encoders import huggingface

        return huggingface.hidden_states(self.source, wave, window=self.window)
