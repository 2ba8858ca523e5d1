"""Convolutions on windows of a spectrogram: the first of three networks that Lim, Jang & Lee compare."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ser_lightning.model.images import channels_last, cut_windows
from ser_lightning.model.layers import (
    Standardize,
    check_probabilities,
    check_sizes,
    frames_of,
    initialize_as_keras,
)


class LimCNN(nn.Module):
    """Convolutions and poolings on each of a few windows of the clip, each window with weights of its own.

    Published: that three networks (this, :class:`LimLSTM`, :class:`LimTDCNN`) were compared on images of the short-time
    Fourier transform. [reconstruction]: the convolutions are those of the public implementation of the third, without
    its LSTM; the paper's own sizes are not known to us. Chosen here: one answer a clip, where the public implementation
    counts groups of windows, each labelled as its clip; where the windows lie (``stagger``).

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        windows: windows a clip
        window: frames of a window
        stagger: frames from one window to the next, in the middle of the clip, as published: 8; null: the windows are
            spread over the whole clip
        channels: output channels of each convolution
        kernel_size: frames and rows each convolution sees; padded to keep the size
        pool_size: frames and rows each max-pooling sees, and its step
        dropout: probability that a value is dropped in training after each pooling

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
            features: (B, F, K)
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        x, lengths = frames_of(features, lengths, standardize=self.standardize)  # (B, T, F)
        images = self.cut(x, lengths)  # (B, windows, window, F)
        maps = [stack(images[:, n]).flatten(1) for n, stack in enumerate(self.stacks)]  # (B, C * H * W) each
        logits: Tensor = self.classifier(torch.cat(maps, dim=1))  # (B, classes)
        return logits


class WindowConvolutions(nn.Module):
    """Convolutions, ReLU, max-pooling and dropout, on images of one size.

    Args:
        channels: output channels of each convolution
        kernel_size: rows and columns each convolution sees; padded to keep the size
        pool_size: rows and columns each max-pooling sees, and its step
        dropout: probability that a value is dropped in training after each pooling

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
            # The maximum first: the same numbers as after the ReLU, which then has a fourth of them to look at.
            layers += [nn.MaxPool2d(pool_size), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = channels_last(nn.Sequential(*layers))

    def output_size(self, window: int, features: int) -> tuple[int, int]:
        """Return rows and columns of what is made of a window of so many frames and features.

        Raises:
            ValueError: nothing

        """
        if min(window, features) < self.reduction:
            raise ValueError(
                f"windows of {window} frames and {features} features are too small for poolings that divide both by"
                f" {self.reduction}; expected at least as many"
            )
        return window // self.reduction, features // self.reduction

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (B, C, H, W) of images (B, rows, columns)."""
        maps: Tensor = self.layers(images[:, None])
        return maps
