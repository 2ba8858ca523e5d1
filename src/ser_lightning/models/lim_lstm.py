"""LSTMs on windows of a spectrogram: the second of three networks compared by Lim, Jang & Lee."""

from torch import Tensor, nn

from ser_lightning.models.checks import check_sizes
from ser_lightning.models.initialize import initialize_as_keras
from ser_lightning.models.windows import WindowClassifier


class LimLSTM(WindowClassifier):
    """LSTM layers over the frames of a few windows of the clip, with separate weights for each window.

    The paper only states that it was compared with :class:`LimCNN` and :class:`LimTDCNN`. All of it is a
    [reconstruction]: the LSTM of the public implementation of the third network, applied to the frames themselves. That
    LSTM has two layers of 1024 units over 32 steps; this one has four times as many steps, and
    ``conf/model/lim_lstm.yaml`` sets 128 units. Choices of this implementation: one prediction per clip; the positions
    of the windows; weights are initialized as in Keras.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        windows: windows per clip
        window: frames per window
        stagger: frames between consecutive windows, in the middle of the clip (8 in the public implementation); None
            spreads the windows over the whole clip
        hidden: units of each LSTM layer
        layers: number of LSTM layers

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
        super().__init__(features=features, standardize=standardize, windows=windows, window=window, stagger=stagger)
        check_sizes({"hidden": hidden, "layers": layers})
        self.lstms = nn.ModuleList(nn.LSTM(features, hidden, layers, batch_first=True) for _ in range(windows))
        self.classifier = nn.Linear(windows * hidden, classes)
        initialize_as_keras(self)

    def encode(self, images: Tensor, number: int) -> Tensor:
        """Return the last output (B, hidden) of the LSTM of a window (B, window, F)."""
        last: Tensor = self.lstms[number](images)[0][:, -1]
        return last
