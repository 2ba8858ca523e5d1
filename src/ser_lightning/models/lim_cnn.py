"""Convolutions on windows of a spectrogram: the first of three networks compared by Lim, Jang & Lee."""

from collections.abc import Sequence

from torch import Tensor, nn

from ser_lightning.models.initialize import initialize_as_keras
from ser_lightning.models.windows import WindowClassifier, WindowConvolutions


class LimCNN(WindowClassifier):
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
        super().__init__(features=features, standardize=standardize, windows=windows, window=window, stagger=stagger)
        stacks = [
            WindowConvolutions(channels=channels, kernel_size=kernel_size, pool_size=pool_size, dropout=dropout)
            for _ in range(windows)
        ]
        self.stacks = nn.ModuleList(stacks)
        height, width = stacks[0].output_size(window, features)
        self.classifier = nn.Linear(windows * channels[-1] * height * width, classes)
        initialize_as_keras(self)

    def encode(self, images: Tensor, number: int) -> Tensor:
        """Return the feature maps (B, C * H * W) of a window (B, window, F)."""
        maps: Tensor = self.stacks[number](images).flatten(1)
        return maps
