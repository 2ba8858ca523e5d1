"""Convolutions on windows of a spectrogram: the first of three networks compared by Lim, Jang & Lee."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ser_lightning.models.layers import (
    Standardize,
    check_probabilities,
    check_sizes,
    initialize_as_keras,
    standardized_frames,
)
from ser_lightning.models.masked_images import channels_last, cut_windows


class LimCNN(nn.Module):
    """Convolutions and poolings on a few windows of the clip, with separate weights for each window.

    The paper compares three networks (this one, :class:`LimLSTM` and :class:`LimTDCNN`) on images of the short-time
    Fourier transform; its sizes are not known. This is a [reconstruction]: the convolutions are those of the public
    implementation of the third network, without its LSTM. Choices of this implementation: one prediction per clip,
    where the public implementation scores groups of windows, each with the label of its clip; the positions of the
    windows (``stagger``).

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        windows: windows per clip
        window: frames per window
        stagger: frames between consecutive windows, in the middle of the clip (8 in the public implementation); None
            spreads the windows over the whole clip
        channels: output channels of each convolution
        kernel_size: kernel of each convolution in frames and features; the input is padded to keep its size
        pool_size: window and stride of each max-pooling, in frames and features
        dropout: dropout probability after each pooling

    Raises:
        ValueError: a size below 1, windows too small for the poolings, a probability outside [0, 1)

    Source: Lim, Jang & Lee 2016, APSIPA, doi 10.1109/APSIPA.2016.7820699, the study's reference [5];
    RayanWang/Speech_emotion_recognition_CRNN.

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        windows: int,
        window: int,
        stagger: int | None,
        channels: Sequence[int],
        kernel_size: int,
        pool_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"windows": windows, "window": window})
        self.cut = partial(cut_windows, size=window, count=windows, stagger=stagger)
        self.standardize = Standardize(features=features) if standardize else None
        stacks = [
            WindowConvolutions(channels=channels, kernel_size=kernel_size, pool_size=pool_size, dropout=dropout)
            for _ in range(windows)
        ]
        self.stacks = nn.ModuleList(stacks)
        height, width = stacks[0].output_size(window, features)
        self.classifier = nn.Linear(windows * channels[-1] * height * width, classes)
        initialize_as_keras(self)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, K, F)
            lengths: (B,), number of frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F)
        images = self.cut(x, lengths)  # (B, windows, window, F)
        maps = [stack(images[:, n]).flatten(1) for n, stack in enumerate(self.stacks)]  # (B, C * H * W) each
        logits: Tensor = self.classifier(torch.cat(maps, dim=1))  # (B, classes)
        return logits


class WindowConvolutions(nn.Module):
    """Convolutions with max-pooling, ReLU and dropout, on images of one size.

    Args:
        channels: output channels of each convolution
        kernel_size: rows and columns of each kernel; the input is padded to keep its size
        pool_size: window and stride of each max-pooling, in rows and columns
        dropout: dropout probability after each pooling

    Raises:
        ValueError: a size below 1, a probability outside [0, 1)

    """

    def __init__(self, *, channels: Sequence[int], kernel_size: int, pool_size: int, dropout: float) -> None:
        super().__init__()
        check_sizes({"channels": channels, "kernel_size": kernel_size, "pool_size": pool_size})
        check_probabilities({"dropout": dropout})
        self.reduction = pool_size ** len(channels)
        layers: list[nn.Module] = []
        for inputs, outputs in zip([1, *channels], channels, strict=False):
            layers.append(nn.Conv2d(inputs, outputs, kernel_size, padding="same"))
            # ReLU and max-pooling commute; pooling first leaves fewer values for ReLU (a fourth with pool_size=2).
            layers += [nn.MaxPool2d(pool_size), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = channels_last(nn.Sequential(*layers))

    def output_size(self, window: int, features: int) -> tuple[int, int]:
        """Return the rows and columns of the output for a window of ``window`` frames and ``features`` features.

        Raises:
            ValueError: the window is too small for the poolings

        """
        if min(window, features) < self.reduction:
            raise ValueError(
                f"windows of {window} frames and {features} features are too small for poolings that divide both by"
                f" {self.reduction}; expected at least as many"
            )
        return window // self.reduction, features // self.reduction

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature maps (B, C, H, W) of images (B, rows, columns)."""
        maps: Tensor = self.layers(images[:, None])
        return maps
