"""Networks that classify a clip by a few windows of its spectrogram."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.layers import Standardize, standardized_frames
from ser_lightning.models.masked_images import channels_last


class WindowClassifier(nn.Module, ABC):
    """Encode each window of a clip as a vector, and classify the vectors of all windows by a linear layer.

    Subclasses set ``classifier`` and implement :meth:`encode`.

    Args:
        features: number of input features
        standardize: first standardize each feature by the mean and standard deviation of the training set
        windows: windows per clip
        window: frames per window
        stagger: frames between consecutive windows, see :func:`cut_windows`

    Raises:
        ValueError: a size below 1

    """

    classifier: nn.Linear

    def __init__(self, *, features: int, standardize: bool, windows: int, window: int, stagger: int | None) -> None:
        super().__init__()
        check_sizes({"windows": windows, "window": window})
        self.cut = partial(cut_windows, size=window, count=windows, stagger=stagger)
        self.standardize = Standardize(features=features) if standardize else None

    @abstractmethod
    def encode(self, images: Tensor, number: int) -> Tensor:
        """Return the vector (B, V) of each clip's window of a number, counted from 0, (B, window, F)."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F)
        windows = self.cut(x, lengths)  # (B, windows, window, F)
        vectors = [self.encode(images, number) for number, images in enumerate(windows.unbind(1))]
        logits: Tensor = self.classifier(torch.cat(vectors, dim=1))  # (B, windows * V) -> (B, classes)
        return logits


def cut_windows(frames: Tensor, lengths: Tensor, *, size: int, count: int, stagger: int | None) -> Tensor:
    """Cut windows of equal size out of each clip.

    Args:
        frames: (B, T, F)
        lengths: (B,), number of frames of each clip
        size: frames per window; a clip with fewer frames is repeated to fill a window
        count: windows per clip
        stagger: frames between the starts of consecutive windows, which are placed in the middle of the clip; None
            spreads the windows evenly, the first at the start and the last at the end of the clip

    Returns:
        (B, count, size, F)

    """
    room = (lengths - size).clamp(min=0)[:, None]  # (B, 1), largest start of a window within the clip
    number = torch.arange(count, device=frames.device)
    if stagger is None:
        starts = torch.div(room * number, max(1, count - 1), rounding_mode="floor")  # (B, count)
    else:
        first = torch.div(room - stagger * (count - 1), 2, rounding_mode="floor").clamp(min=0)
        starts = (first + stagger * number).minimum(room)  # (B, count)
    index = starts[:, :, None] + torch.arange(size, device=frames.device)  # (B, count, size)
    clip = torch.arange(len(frames), device=frames.device)[:, None, None]
    return frames[clip, index % lengths[:, None, None]]  # (B, count, size, F)


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
