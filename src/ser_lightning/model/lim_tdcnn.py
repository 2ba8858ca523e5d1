"""Convolutions, then LSTMs, on windows of a spectrogram: the third network of Lim, Jang & Lee, and their best."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ser_lightning.model.images import cut_windows
from ser_lightning.model.layers import Standardize, check_sizes, frames_of, initialize_as_keras
from ser_lightning.model.lim_cnn import WindowConvolutions


class LimTDCNN(nn.Module):
    """The convolutions of :class:`LimCNN`, and LSTM layers over what they make of each window.

    Published: every layer and size, from the public implementation; the paper's own sizes are not known to us. In that
    implementation the LSTM reads the 32 channels one after another and not time; for windows of 128 frames and 128
    features either sequence has 32 steps of 1024 values. Chosen here: one answer a clip, where that implementation
    counts groups of windows; where the windows lie; time as the sequence, unless ``sequence`` says otherwise.
    Initial weights as Keras draws them.

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
        sequence: what the LSTM reads one after another: ``time``, or ``channels`` as the public implementation does
        hidden: units of each LSTM layer
        layers: LSTM layers

    Raises:
        ValueError: a size below 1, windows too small for the poolings, a probability outside [0, 1)

    Source: Lim, Jang & Lee 2016, APSIPA, doi 10.1109/APSIPA.2016.7820699, the study's reference [5];
    RayanWang/Speech_emotion_recognition_CRNN, cnnlstmmodel.py.

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
        sequence: Literal["time", "channels"],
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__()
        check_sizes({"windows": windows, "window": window, "hidden": hidden, "layers": layers})
        self.cut = partial(cut_windows, size=window, count=windows, stagger=stagger)
        self.sequence = sequence
        self.standardize = Standardize(features=features) if standardize else None
        stacks = [
            WindowConvolutions(channels=channels, kernel_size=kernel_size, pool_size=pool_size, dropout=dropout)
            for _ in range(windows)
        ]
        self.stacks = nn.ModuleList(stacks)
        height, width = stacks[0].output_size(window, features)
        values = channels[-1] * width if sequence == "time" else height * width  # of a step
        self.lstms = nn.ModuleList(nn.LSTM(values, hidden, layers, batch_first=True) for _ in range(windows))
        self.classifier = nn.Linear(windows * hidden, classes)
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
        last = []
        for n, (stack, lstm) in enumerate(zip(self.stacks, self.lstms, strict=True)):
            maps = stack(images[:, n])  # (B, C, H, W)
            steps = maps.transpose(1, 2) if self.sequence == "time" else maps  # (B, H, C, W) or (B, C, H, W)
            last.append(lstm(steps.flatten(2))[0][:, -1])  # (B, H or C, values) -> (B, hidden)
        logits: Tensor = self.classifier(torch.cat(last, dim=1))  # (B, windows * hidden) -> (B, classes)
        return logits
