"""The study's network: convolutions, a bidirectional LSTM and a classifier with dropout."""

import math
from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from ser_lightning.models.exporting import is_exporting
from ser_lightning.models.flat_batch import FlatBatch, convolve, flatten_batch, max_pool
from ser_lightning.models.layers import ACTIVATIONS, Standardize, valid_length, valid_lengths
from ser_lightning.models.lstm import BiLSTM


class CNNBiLSTM(nn.Module):
    """CNN, BiLSTM, max and mean pooling over time, BatchNorm and an MLP with dropout.

    With ``masked=True``, the logits of a clip in evaluation mode depend on that clip alone, not on padding or on other
    clips in its batch. With ``masked=False``, padding is processed like silence, as in the released model.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        channels: output channels of each convolution
        kernel_sizes: kernel size of each convolution, in frames
        strides: stride of each convolution
        pool_sizes: window of each max-pooling, in frames
        pool_strides: stride of each max-pooling
        conv_activation: activation after each convolution: ``none``, ``relu`` or ``leaky_relu``
        hidden: LSTM units per direction
        mlp: sizes of the fully connected layers before the last
        activation: activation after each of these layers: ``none``, ``relu`` or ``leaky_relu``
        dropout: dropout probability of the units of these layers
        dropout_after_activation: apply dropout after the activation; otherwise before it, as the released code does
        masked: exclude padding from the LSTM and the pooling over time

    Raises:
        ValueError: an unknown activation, a probability outside [0, 1), lists of unequal length, a size below 1

    Source: "Fully-connected and dropout layers in Speech Emotion Recognition"; released code, SER_Dropout_Model.

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
        pool_sizes: Sequence[int],
        pool_strides: Sequence[int],
        conv_activation: str,
        hidden: int,
        mlp: Sequence[int],
        activation: str,
        dropout: float,
        dropout_after_activation: bool,
        masked: bool,
    ) -> None:
        super().__init__()
        for name, value in (("conv_activation", conv_activation), ("activation", activation)):
            if value not in ACTIVATIONS:
                raise ValueError(f"model.{name} is {value!r}; expected one of {', '.join(ACTIVATIONS)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"the dropout probability is {dropout}; expected at least 0 and less than 1")
        stages = [channels, kernel_sizes, strides, pool_sizes, pool_strides]
        if len({len(stage) for stage in stages}) != 1:
            raise ValueError(
                "model.channels, kernel_sizes, strides, pool_sizes and pool_strides have lengths"
                f" {[len(stage) for stage in stages]}; expected one value a convolution in each"
            )
        sizes = {"hidden": [hidden], "mlp": mlp, "channels": channels, "kernel_sizes": kernel_sizes}
        sizes |= {"strides": strides, "pool_sizes": pool_sizes, "pool_strides": pool_strides}
        for name, values in sizes.items():
            if not values or min(values) < 1:
                raise ValueError(f"model.{name} is {list(values)}; expected whole numbers of at least 1")
        self.masked = masked
        self.standardize = Standardize(features=features) if standardize else None
        self.steps = (
            list(zip(kernel_sizes, strides, strict=True)),
            list(zip(pool_sizes, pool_strides, strict=True)),
        )
        inputs = [features, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, k, s) for i, o, (k, s) in zip(inputs, channels, self.steps[0], strict=False)
        )
        self.stride = math.prod([*strides, *pool_strides])  # frames between consecutive LSTM steps
        self.conv_activation = ACTIVATIONS[conv_activation]()
        self.lstm = BiLSTM(channels=channels[-1], hidden=hidden)
        widths = [4 * hidden, *mlp]
        layers: list[nn.Module] = [nn.BatchNorm1d(widths[0])]
        for i, o in zip(widths, mlp, strict=False):
            regularized = [nn.Dropout(dropout), ACTIVATIONS[activation]()]
            layers += [nn.Linear(i, o), *(reversed(regularized) if dropout_after_activation else regularized)]
        self.classifier = nn.Sequential(*layers, nn.Linear(widths[-1], classes))
        self.receptive_field = self._receptive_field()

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, K, F), zero beyond each clip's end
            lengths: (B,), number of frames of each clip; a clip shorter than the receptive field is padded to it

        Returns:
            (B, classes)

        """
        # Before BatchNorm each clip is processed separately, so the clips can be in any memory layout.
        # A single clip has no padding, and both summaries are equal.
        masked = self.masked or is_exporting()
        summary = self._summarize(features, lengths) if masked else self._summarize_padded(features, lengths)
        logits: Tensor = self.classifier(summary)  # (B, 4H) -> (B, classes)
        return logits

    def _summarize(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the maximum and mean of the LSTM's outputs over the real steps of each clip: (B, K, F) -> (B, 4H)."""
        summary: Tensor = self.lstm(self._convolve(features, lengths, rows=lengths.clamp(min=self.receptive_field)))
        return summary

    def _summarize_padded(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the maximum and mean of the LSTM's outputs over all steps, including padding: (B, K, F) -> (B, 4H).

        Convolutions run over each clip and enough padding to fill the receptive field. All later steps equal those of
        pure padding, which are computed once.
        """
        total = self._steps(max(features.size(1), self.receptive_field))
        differ = (-(-lengths // self.stride)).clamp(max=total)  # steps whose window contains a real frame
        clips = self._convolve(features, lengths, rows=(differ - 1) * self.stride + self.receptive_field)
        nothing = lengths.new_zeros(1)
        padding = self._convolve(features[:1], nothing, rows=nothing + self.receptive_field).values[:1]
        return self.lstm.over_padding(clips, padding=padding, total=total)

    def _convolve(self, features: Tensor, lengths: Tensor, *, rows: Tensor) -> FlatBatch:
        """Apply convolutions and poolings to concatenated clips.

        The outputs that fit into the rows of a clip depend on no rows beyond them.
        """
        values, starts, lengths = self._flatten(features, lengths, rows=rows)
        for layer, of_convolution, of_pool in zip(self.convolutions, *self.steps, strict=True):
            values = self._convolve_rows(layer, values, stride=of_convolution[1])
            values = self._pool_rows(self.conv_activation(values), *of_pool)  # (R, C)
            for size, stride in (of_convolution, of_pool):
                starts, lengths = starts // stride, valid_lengths(lengths, size, stride)
        return FlatBatch(values, starts, lengths)

    def _flatten(self, features: Tensor, lengths: Tensor, *, rows: Tensor) -> FlatBatch:
        """Concatenate the clips along time, standardized."""
        prepare = nn.Identity() if self.standardize is None else self.standardize
        return flatten_batch(features, lengths, rows=rows, multiple=self.stride, prepare=prepare)

    def _convolve_rows(self, layer: nn.Module, values: Tensor, *, stride: int) -> Tensor:
        """Apply a convolution along the rows."""
        convolution = cast(nn.Conv1d, layer)
        return convolve(values, convolution.weight, cast(Tensor, convolution.bias), stride)

    def _pool_rows(self, values: Tensor, size: int, stride: int) -> Tensor:
        """Apply a max-pooling along the rows."""
        return max_pool(values, size, stride)

    def _steps(self, frames: int) -> int:
        """Return the number of LSTM steps for a number of frames."""
        for of_convolution, of_pool in zip(*self.steps, strict=True):
            frames = valid_length(valid_length(frames, *of_convolution), *of_pool)
        return frames

    def _receptive_field(self) -> int:
        """Return the number of frames that one LSTM step depends on."""
        frames = 1
        for (kernel, stride), (pool, pool_stride) in zip(*map(reversed, self.steps), strict=True):
            frames = ((frames - 1) * pool_stride + pool - 1) * stride + kernel
        assert self._steps(frames) == 1  # noqa: S101 - the two formulas above are each other's inverse
        return frames
