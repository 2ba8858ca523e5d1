"""LSTMs on windows of a spectrogram: the second of three networks that Lim, Jang & Lee compare."""

from functools import partial

import torch
from torch import Tensor, nn

from ser_lightning.model.images import cut_windows
from ser_lightning.model.layers import Standardize, check_sizes, frames_of, initialize_as_keras


class LimLSTM(nn.Module):
    """LSTM layers over the frames of each of a few windows of the clip, each window with weights of its own.

    Published: that it was compared with :class:`LimCNN` and :class:`LimTDCNN`. [reconstruction]: the whole of it; it is
    the LSTM of the public implementation of the third on the frames themselves. That one has two layers of 1024, over
    32 steps; here they are over four times as many, and the default is 128 units. Chosen here: one answer a clip; where
    the windows lie. Initial weights as Keras draws them.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        windows: windows a clip
        window: frames of a window
        stagger: frames from one window to the next, in the middle of the clip, as published: 8; null: the windows are
            spread over the whole clip
        hidden: units of each LSTM layer
        layers: LSTM layers

    Raises:
        ValueError: a size below 1

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
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__()
        check_sizes({"windows": windows, "window": window, "hidden": hidden, "layers": layers})
        self.cut = partial(cut_windows, size=window, count=windows, stagger=stagger)
        self.standardize = Standardize(features=features) if standardize else None
        self.lstms = nn.ModuleList(nn.LSTM(features, hidden, layers, batch_first=True) for _ in range(windows))
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
        last = [lstm(images[:, n])[0][:, -1] for n, lstm in enumerate(self.lstms)]  # (B, H) each
        logits: Tensor = self.classifier(torch.cat(last, dim=1))  # (B, windows * H) -> (B, classes)
        return logits
