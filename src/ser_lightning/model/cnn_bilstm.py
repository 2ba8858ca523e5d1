"""The study's network: convolutions, a bidirectional LSTM, a classifier with dropout."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ser_lightning.model.layers import (
    ACTIVATIONS,
    BiLSTM,
    Standardize,
    extend,
    max_and_mean,
    valid_length,
    valid_lengths,
)

GROUPS = 4  # of like length in a batch: with more, the LSTM's steps are too small to be fast


class CNNBiLSTM(nn.Module):
    """CNN, BiLSTM, max and mean over time, BatchNorm, MLP with dropout.

    With ``masked`` the logits of a clip depend on that clip alone: padding and the clips it shares a batch with change
    nothing. Without, padding is heard as silence would be and the network is the one that was released.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        channels: output channels of each convolution
        kernel_sizes: frames each convolution sees
        strides: step of each convolution
        pool_sizes: frames each max-pooling sees
        pool_strides: step of each max-pooling
        conv_activation: after each convolution: ``none``, ``relu`` or ``leaky_relu``
        hidden: LSTM units per direction
        mlp: sizes of the fully connected layers before the last
        activation: after each of these: ``relu`` or ``leaky_relu``
        dropout: probability that a unit of these layers is dropped in training
        dropout_after_activation: drop after the activation; else before it, as the released code does
        masked: let the network know where each clip ends

    Raises:
        ValueError: an unknown activation, a probability outside [0, 1), lists of unequal length

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
        self.pools = nn.ModuleList(nn.MaxPool1d(k, s) for k, s in self.steps[1])
        self.conv_activation = ACTIVATIONS[conv_activation]()
        self.lstm = BiLSTM(channels=channels[-1], hidden=hidden)
        widths = [4 * hidden, *mlp]
        layers: list[nn.Module] = [nn.BatchNorm1d(widths[0])]
        for i, o in zip(widths, mlp, strict=False):
            regularised = [nn.Dropout(dropout), ACTIVATIONS[activation]()]
            layers += [nn.Linear(i, o), *(reversed(regularised) if dropout_after_activation else regularised)]
        self.classifier = nn.Sequential(*layers, nn.Linear(widths[-1], classes))
        self.receptive_field = self._receptive_field()

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of each clip.

        Args:
            features: (B, F, K), zero beyond each clip's end
            lengths: (B,), frames of each clip; one shorter than the receptive field is padded to it

        Returns:
            (B, classes)

        """
        # Clips do not see each other before BatchNorm: groups of like length hold little padding, while the batch that
        # BatchNorm sees stays as it was drawn.
        groups = (
            lengths.argsort(stable=True).chunk(GROUPS) if len(lengths) >= 2 * GROUPS else (torch.arange(len(lengths)),)
        )
        if self.masked:
            summaries = [self._summarize(features[:, :, : int(lengths[g].max())][g], lengths[g]) for g in groups]
        else:
            summaries = self._summarize_padded(features, lengths, groups)
        summary = torch.cat(summaries)[torch.cat(groups).argsort()]  # back in the order of the batch
        logits: Tensor = self.classifier(summary)  # (B, 4H) -> (B, classes)
        return logits

    def _layers(self) -> Iterator[tuple[Callable[[Tensor], Tensor], int, int]]:
        """Yield each convolution and each pooling with its kernel size and stride; none of them pads."""
        for convolution, pool, of_convolution, of_pool in zip(self.convolutions, self.pools, *self.steps, strict=True):
            yield nn.Sequential(convolution, self.conv_activation), *of_convolution
            yield pool, *of_pool

    def _summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return maximum and mean over the real steps of what the LSTM makes of each clip: (B, F, K) -> (B, 4H)."""
        x = x if self.standardize is None else self.standardize(x, lengths)
        x = nn.functional.pad(x, (0, max(0, self.receptive_field - x.size(2))))
        lengths = lengths.clamp(min=self.receptive_field)
        for layer, kernel_size, stride in self._layers():
            # The outputs that fit into a clip see nothing beyond its end.
            x, lengths = layer(x), valid_lengths(lengths, kernel_size, stride)  # (B, C, T)
        return max_and_mean(self.lstm(x, lengths), lengths)  # (B, 2H, T) -> (B, 4H)

    def _summarize_padded(self, x: Tensor, lengths: Tensor, groups: Sequence[Tensor]) -> list[Tensor]:
        """Return maximum and mean over all steps, those of the padding too: (B, F, K) -> (B of the group, 4H) each.

        What becomes of padding is the same in every clip: behind each layer a constant, and in the LSTM that runs
        backward the same first steps. That is computed once, and a group only as far as its clips reach.
        """
        x = x if self.standardize is None else self.standardize(x, lengths)
        x = nn.functional.pad(x, (0, max(0, self.receptive_field - x.size(2))))
        total = x.size(2)
        reach = [int(lengths[group].max()) for group in groups]
        parts = [x[:, :, :frames][group] for frames, group in zip(reach, groups, strict=True)]
        padding = x.new_zeros(1, x.size(1), 1)
        for layer, kernel_size, stride in self._layers():
            total = valid_length(total, kernel_size, stride)
            reach = [min(-(-frames // stride), total) for frames in reach]
            needed = [(frames - 1) * stride + kernel_size for frames in reach]
            parts = [layer(extend(part, padding, frames)) for part, frames in zip(parts, needed, strict=True)]
            padding = layer(padding.expand(-1, -1, kernel_size))  # (1, C, 1)
        whole = torch.cat([extend(part, padding, total) for part in parts])  # (B, C, T)
        ahead = self.lstm.ahead(whole.transpose(1, 2))[0].split([len(group) for group in groups])
        summaries = []
        for one, part in zip(ahead, parts, strict=True):
            back = self.lstm.back_over(part, padding, total)
            top, summed = ([reduce(y, 1).expand(len(part), -1) for y in back] for reduce in (torch.amax, torch.sum))
            top = [one.amax(1), torch.stack(top).amax(0)]
            mean = [one.mean(1), torch.stack(summed).sum(0) / total]
            summaries.append(torch.cat([*top, *mean], dim=1))
        return summaries

    def _receptive_field(self) -> int:
        """Frames that make one step of the LSTM."""
        frames = 1
        for (kernel, stride), (pool, pool_stride) in zip(*map(reversed, self.steps), strict=True):
            frames = ((frames - 1) * pool_stride + pool - 1) * stride + kernel
        length = frames
        for (kernel, stride), (pool, pool_stride) in zip(*self.steps, strict=True):
            length = valid_length(valid_length(length, kernel, stride), pool, pool_stride)
        assert length == 1  # noqa: S101 - the two formulas above are each other's inverse
        return frames
