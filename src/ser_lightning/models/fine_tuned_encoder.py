"""The upper layers of a pretrained speech encoder, trained further together with a classifier."""

import torch
from torch import Tensor, nn

from ser_lightning.features.encoders import smart_turn
from ser_lightning.models.checks import check_probabilities
from ser_lightning.models.exporting import is_exporting
from ser_lightning.models.layers import AttentiveStatistics, length_mask, standardized_frames


class FineTunedEncoder(nn.Module):
    """Transformer layers of Smart Turn on the hidden states below them, weighted, pooled and classified.

    The layers start from the weights of the encoder. The layers up to ``first`` are part of the features
    (``features.layers=[first]``, ``features.pooling=frames``): they are not trained, and computed only once per clip.
    With the values in conf/ the network has 3.6 million parameters.

    Args:
        features: number of input features, the units of one hidden state
        classes: number of classes
        standardize: must be False, because the encoder takes its hidden states as they are
        first: the hidden state that the features are
        last: the last layer that is used, up to 4
        attention: units of the hidden layer that scores the frames for pooling
        dropout: dropout probability of the pooled vector

    Raises:
        InputError: the encoder is not installed
        ValueError: a value is out of range, or the features are not one hidden state

    Source: Okabe et al. 2018 (arXiv 1803.10963), attentive statistics pooling; Yang et al. 2021 (SUPERB, arXiv
    2105.01051), weighted layers

    """

    def __init__(
        self, *, features: int, classes: int, standardize: bool, first: int, last: int, attention: int, dropout: float
    ) -> None:
        super().__init__()
        check_probabilities({"dropout": dropout})
        if not 0 <= first < last <= smart_turn.LAYERS:
            raise ValueError(
                f"model.first is {first} and model.last is {last}; expected 0 <= first < last <= {smart_turn.LAYERS}"
            )
        if features != smart_turn.WIDTH or standardize:
            raise ValueError(
                f"the features have {features} values a frame and features.standardize={str(standardize).lower()};"
                f" expected features=encoder features.pooling=frames features.layers=[{first}]"
                " features.standardize=false"
            )
        encoder = smart_turn.build_encoder()
        self.layers = encoder.layers[first:last]
        self.norm = encoder.layer_norm if last == smart_turn.LAYERS else nn.Identity()
        self.layer_scores = nn.Parameter(torch.zeros(1 + len(self.layers)))
        self.pool = AttentiveStatistics(channels=features, attention=attention)
        self.classify = nn.Sequential(
            nn.BatchNorm1d(2 * features, affine=False), nn.Dropout(dropout), nn.Linear(2 * features, classes)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, K, F)
            lengths: (B,), number of frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = standardized_frames(features, lengths, standardize=None)  # (B, T, F)
        mask = length_mask(lengths, x.size(1))
        attended = None if is_exporting() else mask[:, None, None]  # an exported network takes one clip
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], attended))
        states[-1] = self.norm(states[-1])
        frames = torch.stack(states, dim=-1) @ self.layer_scores.softmax(0)  # (B, T, F)
        logits: Tensor = self.classify(self.pool(frames, mask))
        return logits
