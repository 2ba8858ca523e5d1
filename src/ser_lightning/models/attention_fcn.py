"""Fully convolutional network with attention over the regions of a spectrogram of any length."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.initialize import initialize_as_he
from ser_lightning.models.layers import MaskedBatchNorm, Standardize, attention_pool, standardized_frames
from ser_lightning.models.masked_images import Images, channels_last, convolve, max_pool, normalize, stages


class AttentionFCN(nn.Module):
    """AlexNet's convolutions, then the mean over all regions of the feature map, weighted by attention.

    A region is a position in the last feature map, a patch of time and frequency. Its score is ``u^T tanh(W a + b)``,
    and the weights are the softmax of the scores times lambda.

    The paper published the convolutions, the attention and a lambda of 0.3. The public PyTorch port adds BatchNorm
    before the first and after each convolution, and a dense layer before the last; ``conf/model/attention_fcn.yaml``
    keeps both, and ``batch_norm`` and ``hidden`` remove them. Not reproduced: the paper's best network starts from
    ImageNet weights; this one is trained from scratch. Choices of this implementation: a clip too short for the layers
    is zero-padded; the convolutions are initialized as in He et al.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        channels: output channels of each convolution
        kernel_sizes: kernel of each convolution, in frames and features
        strides: stride of each convolution
        paddings: zeros added on each side of the input of each convolution
        pools: whether max-pooling follows each convolution
        pool_size: window of the max-pooling, in frames and features
        pool_stride: stride of the max-pooling
        batch_norm: normalize the input and the output of each convolution
        attention_scale: lambda; the smaller it is, the more uniform are the weights of the regions
        hidden: units of the dense layer before the last; None for no such layer
        dropout: dropout probability of the units of this layer

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
        self.min_length = 1  # rows of the smallest image for which the layers return one row
        for stage in reversed(layers):
            self.min_length = stage.needed_length(self.min_length, pool_size=pool_size, pool_stride=pool_stride)
        if features < self.min_length:
            raise ValueError(f"there are {features} features; expected at least {self.min_length} for these layers")
        self.attention_scale = attention_scale
        regions = channels[-1]
        self.attention_projection = nn.Linear(regions, regions)
        self.score = nn.Linear(regions, 1, bias=False)
        dense = [] if hidden is None else [nn.Linear(regions, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.classifier = nn.Sequential(*dense, nn.Linear(hidden or regions, classes))
        initialize_as_he(channels_last(self.convolutions))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        x, lengths = standardized_frames(
            features, lengths, standardize=self.standardize, min_length=self.min_length
        )  # (B, T, F)
        images = self._normalize(Images(x[:, None], lengths), 0)  # (B, 1, T, F)
        for number, (layer, pool) in enumerate(zip(self.convolutions, self.pools, strict=True)):
            images = self._normalize(convolve(images, cast(nn.Conv2d, layer)), number + 1)  # (B, C, T / s, F / s)
            images = Images(images.values.relu(), images.lengths)
            if pool:
                images = max_pool(images, size=self.pool[0], stride=self.pool[1])
        regions = images.values.permute(0, 2, 3, 1)  # (B, T', F', C)
        hidden = torch.tanh(self.attention_projection(regions))
        scores = self.attention_scale * self.score(hidden)[..., 0]  # (B, T', F')
        mask = images.mask[:, :, None].expand_as(scores)
        clip = attention_pool(regions.flatten(1, 2), scores.flatten(1), mask.flatten(1))  # (B, C)
        logits: Tensor = self.classifier(clip)  # (B, classes)
        return logits

    def _normalize(self, images: Images, number: int) -> Images:
        return normalize(images, cast(MaskedBatchNorm, self.norms[number])) if self.norms else images
