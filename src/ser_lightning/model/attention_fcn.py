"""A fully convolutional network that attends to regions of a spectrogram of any length."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ser_lightning.model.images import Images, channels_last, convolve, max_pool, normalize, stages
from ser_lightning.model.layers import (
    MaskedBatchNorm,
    Standardize,
    attend,
    check_probabilities,
    check_sizes,
    frames_of,
    initialize_as_he,
)


class AttentionFCN(nn.Module):
    """AlexNet's convolutions, then one vector a clip: the mean over all regions, weighted by attention.

    A region is a place of the last map, a patch of time and frequency; its score is ``u^T tanh(W a + b)``, and the
    weights are the softmax of the scores times lambda.

    Published: convolutions, attention, lambda of 0.3. Added by the public PyTorch port, and here by default: BatchNorm
    before the first and after each convolution, a dense layer before the last; ``batch_norm`` and ``hidden`` take them
    away. Left out: the paper's best network starts from ImageNet's weights; this one is trained from scratch. Chosen
    here: a clip that is too short for the layers is followed by zeros until it is not; the convolutions start as He et
    al. draw them.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        channels: output channels of each convolution
        kernel_sizes: frames and rows each convolution sees
        strides: step of each convolution
        paddings: zeros around the input of each convolution
        pools: whether a max-pooling follows each convolution
        pool_size: frames and rows a max-pooling sees
        pool_stride: step of a max-pooling
        batch_norm: normalise the input and the output of each convolution
        attention_scale: lambda; the smaller, the more alike the weights of the regions
        hidden: units of the dense layer before the last; null: none
        dropout: probability that one of these is dropped in training

    Raises:
        ValueError: a size below 1, fewer features than the layers need, a probability outside [0, 1), lists of unequal
            length

    Source: Zhang et al. 2018, arXiv 1806.01506, the study's reference [16]; the port is its class SER_FCN_Attention.

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        paddings: Sequence[int],
        pools: Sequence[bool],
        pool_size: int,
        pool_stride: int,
        batch_norm: bool,
        attention_scale: float,
        hidden: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"pool_size": pool_size, "pool_stride": pool_stride, "hidden": 1 if hidden is None else hidden})
        check_probabilities({"dropout": dropout})
        self.standardize = Standardize(features=features) if standardize else None
        self.pool, self.pools = ((pool_size, pool_size), (pool_stride, pool_stride)), list(pools)
        layers = stages(channels=channels, kernel_sizes=kernel_sizes, strides=strides, paddings=paddings, pools=pools)
        self.convolutions = nn.ModuleList(stage.convolution() for stage in layers)
        norms = [MaskedBatchNorm(channels=c) for c in (1, *channels)] if batch_norm else []
        self.norms = nn.ModuleList(norms)
        self.at_least = 1  # rows of an image, of which the layers leave one
        for stage in reversed(layers):
            self.at_least = stage.needed_length(self.at_least, pool_size=pool_size, pool_stride=pool_stride)
        if features < self.at_least:
            raise ValueError(f"there are {features} features; expected at least {self.at_least} for these layers")
        self.attention_scale = attention_scale
        regions = channels[-1]
        self.hear = nn.Linear(regions, regions)
        self.score = nn.Linear(regions, 1, bias=False)
        dense = [] if hidden is None else [nn.Linear(regions, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.classifier = nn.Sequential(*dense, nn.Linear(hidden or regions, classes))
        initialize_as_he(channels_last(self.convolutions))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, F, K)
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = frames_of(features, lengths, standardize=self.standardize, at_least=self.at_least)  # (B, T, F)
        images = self._normalize(Images(x[:, None], lengths), 0)  # (B, 1, T, F)
        for number, (layer, pool) in enumerate(zip(self.convolutions, self.pools, strict=True)):
            images = self._normalize(convolve(images, cast(nn.Conv2d, layer)), number + 1)  # (B, C, T / s, F / s)
            images = Images(images.values.relu(), images.lengths)
            if pool:
                images = max_pool(images, size=self.pool[0], stride=self.pool[1])
        regions = images.values.permute(0, 2, 3, 1)  # (B, T', F', C)
        scores = self.attention_scale * self.score(torch.tanh(self.hear(regions)))[..., 0]  # (B, T', F')
        real = images.real[:, :, None].expand_as(scores)
        clip = attend(regions.flatten(1, 2), scores.flatten(1), real.flatten(1))  # (B, C)
        logits: Tensor = self.classifier(clip)  # (B, classes)
        return logits

    def _normalize(self, images: Images, number: int) -> Images:
        return normalize(images, cast(MaskedBatchNorm, self.norms[number])) if self.norms else images
