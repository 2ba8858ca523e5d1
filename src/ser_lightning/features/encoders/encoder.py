"""Hidden states of a pretrained speech encoder as features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ser_lightning.errors import InputError
from ser_lightning.features.extractor import FeatureExtractor, Floats


@dataclass(frozen=True, kw_only=True)
class SmartTurn(FeatureExtractor):
    """Hidden states of the Whisper-tiny encoder inside Smart Turn 3.2, 7.8 million parameters.

    Whisper was trained on 680,000 hours of speech with transcripts, Smart Turn on conversations with marked ends of
    turns; neither has emotion labels. The encoder is not trained further here.

    A clip of more than 8 s is divided into equal parts of at most 8 s, and the frames of the parts are concatenated.

    Args:
        layers: hidden states to use, from 0 (input of the first layer) to 4 (output of the last layer)
        pooling: ``mean_deviation`` gives one vector per clip, the mean and the standard deviation of each state over
            time; ``frames`` gives one vector every 20 ms
        crop: whether to leave out the silence with which the encoder pads clips to 8 s. It is several times faster, and
            the states differ a little, because the encoder also attends to the padding.

    Raises:
        InputError: a value is out of range, or the encoder is not installed

    Source: Smart Turn v3.2 (Daily, BSD-2); Radford et al. 2022 (arXiv 2212.04356)

    """

    layers: Sequence[int]
    pooling: Literal["mean_deviation", "frames"]
    crop: bool
    analysis_rate: int = field(default=16000, init=False)  # of the encoder

    def __post_init__(self) -> None:
        super().__post_init__()
        from ser_lightning.features.encoders import smart_turn  # imports torch

        layers = tuple(self.layers)
        if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= smart_turn.LAYERS for layer in layers):
            raise InputError(
                f"features.layers is {list(layers)}; expected distinct layers from 0 to {smart_turn.LAYERS}"
            )
        object.__setattr__(self, "layers", layers)
        smart_turn.find_model()  # reports a missing encoder before any work starts

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        from ser_lightning.features.encoders import smart_turn

        states = [f"layer{layer}_{unit:03}" for layer in self.layers for unit in range(smart_turn.WIDTH)]
        if self.pooling == "frames":
            return tuple(states)
        return tuple(f"{state}_{statistic}" for statistic in ("mean", "deviation") for state in states)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return (*super().libraries, "torch", "librosa")

    def compute(self, wave: Floats) -> Floats:
        """Compute the features of a valid wave (samples,): (1, F) of a clip, or (K, F) of its frames."""
        from ser_lightning.features.encoders import smart_turn

        states = smart_turn.hidden_states(wave, crop=self.crop)  # (LAYERS + 1, K, WIDTH)
        frames = np.concatenate([states[layer] for layer in self.layers], axis=1)  # (K, layers * WIDTH)
        if self.pooling == "frames":
            return frames
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None]
