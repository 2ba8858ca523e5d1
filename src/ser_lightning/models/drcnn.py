"""Deep retinal CNN: an AlexNet on the spectrogram of a clip, resized to a square."""

from collections.abc import Sequence

from torch import Tensor, nn

from ser_lightning.models.checks import check_probabilities, check_sizes
from ser_lightning.models.initialize import initialize_as_he
from ser_lightning.models.layers import Standardize, standardized_frames
from ser_lightning.models.masked_images import channels_last, resize, stages


class DRCNN(nn.Module):
    """Convolutions and poolings on a square image of the whole clip, then dense layers with dropout.

    The paper describes a deep convolutional network on images of one size, which its augmentation DAARIP multiplies.
    The layers are [unverified]: they could not be obtained, and an AlexNet (Krizhevsky 2014, "One weird trick", as in
    torchvision) with one input channel and without pre-training takes their place. Choices of this implementation:
    images of 64 x 64 instead of AlexNet's 224 x 224, so that two CPU cores suffice; the last feature map goes to the
    dense layers unchanged, where torchvision pools it to 6 x 6 (with ``size=224`` it is 6 x 6, and the network equals
    AlexNet); weights are initialized as in He et al.

    Args:
        features: number of input features
        classes: number of classes
        standardize: first standardize each feature by the mean and standard deviation of the training set
        size: rows and columns of the image
        channels: output channels of each convolution
        kernel_sizes: rows and columns of the kernel of each convolution
        strides: stride of each convolution
        paddings: zeros added on each side of the input of each convolution
        pools: whether max-pooling follows each convolution
        pool_size: rows and columns of the max-pooling window
        pool_stride: stride of the max-pooling
        hidden: sizes of the dense layers before the last
        dropout: dropout probability of the input of each of these layers

    Raises:
        ValueError: a size below 1, an image too small for the layers, a probability outside [0, 1), lists of unequal
            length

    Source: Niu et al. 2017, arXiv 1707.09917, the study's reference [11].

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        size: int,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        paddings: Sequence[int],
        pools: Sequence[bool],
        pool_size: int,
        pool_stride: int,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes({"size": size, "pool_size": pool_size, "pool_stride": pool_stride, "hidden": hidden})
        check_probabilities({"dropout": dropout})
        self.size = size
        self.standardize = Standardize(features=features) if standardize else None
        convolutions: list[nn.Module] = []
        side = size
        for stage in stages(
            channels=channels, kernel_sizes=kernel_sizes, strides=strides, paddings=paddings, pools=pools
        ):
            convolutions += [stage.convolution(), nn.ReLU()]
            if stage.pool:
                convolutions.append(nn.MaxPool2d(pool_size, pool_stride))
            side = stage.valid_length(side, pool_size=pool_size, pool_stride=pool_stride)
        if side < 1:
            raise ValueError(f"model.size is {size}, too small for the convolutions and poolings; expected more")
        self.convolutions = channels_last(nn.Sequential(*convolutions))
        widths = [channels[-1] * side * side, *hidden]
        dense: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip(widths, hidden, strict=False):
            dense += [nn.Dropout(dropout), nn.Linear(inputs, outputs), nn.ReLU()]
        self.classifier = nn.Sequential(*dense, nn.Linear(widths[-1], classes))
        initialize_as_he(self)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, K, F) with ``lengths`` frames each, (B,)."""
        x, lengths = standardized_frames(features, lengths, standardize=self.standardize)  # (B, T, F)
        image = resize(x, lengths, size=self.size)  # (B, size, size)
        maps = self.convolutions(image[:, None])  # (B, 1, size, size) -> (B, C, side, side)
        logits: Tensor = self.classifier(maps)  # (B, classes)
        return logits
