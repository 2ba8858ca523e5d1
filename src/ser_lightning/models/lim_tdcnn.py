"""Convolutions, then LSTMs, on windows of a spectrogram: the third and best network of Lim, Jang & Lee."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ser_lightning.models.checks import check_sizes
from ser_lightning.models.initialize import initialize_as_keras
from ser_lightning.models.windows import WindowClassifier, WindowConvolutions


class LimTDCNN(WindowClassifier):
    """Convolutions of :class:`LimCNN`, then LSTM layers over the output for each window.

    All layers and sizes are those of the public implementation; the paper's own sizes are not known. In that
    implementation the LSTM reads the 32 channels as a sequence instead of time; for windows of 128 frames and 128
    features, both sequences have 32 steps of 1024 values. Choices of this implementation: one prediction per clip,
    where the public implementation scores groups of windows; the positions of the windows; the option of reading time
    (``sequence``); weights are initialized as in Keras.

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
        sequence: the axis that the LSTM reads as its sequence: ``time``, or ``channels`` as in the public
            implementation
        hidden: units of each LSTM layer
        layers: number of LSTM layers

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
        super().__init__(features=features, standardize=standardize, windows=windows, window=window, stagger=stagger)
        check_sizes({"hidden": hidden, "layers": layers})
        self.sequence = sequence
        stacks = [
            WindowConvolutions(channels=channels, kernel_size=kernel_size, pool_size=pool_size, dropout=dropout)
            for _ in range(windows)
        ]
        self.stacks = nn.ModuleList(stacks)
        height, width = stacks[0].output_size(window, features)
        values = channels[-1] * width if sequence == "time" else height * width  # size of a step
        self.lstms = nn.ModuleList(nn.LSTM(values, hidden, layers, batch_first=True) for _ in range(windows))
        self.classifier = nn.Linear(windows * hidden, classes)
        initialize_as_keras(self)

    def encode(self, images: Tensor, number: int) -> Tensor:
        """Return the last output (B, hidden) of the LSTM of a window (B, window, F)."""
        maps = self.stacks[number](images)  # (B, C, H, W)
        steps = maps.transpose(1, 2) if self.sequence == "time" else maps  # (B, H, C, W) or (B, C, H, W)
        last: Tensor = self.lstms[number](steps.flatten(2))[0][:, -1]  # (B, H or C, values) -> (B, hidden)
        return last
