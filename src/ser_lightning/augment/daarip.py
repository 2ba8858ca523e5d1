"""Copies of a training clip's spectrogram, as images of it behind a thin lens (DAARIP)."""

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError

INTERPOLATIONS = ("linear", "nearest")
Floats = npt.NDArray[np.float32]


class Daarip:
    """Data augmentation by retinal imaging: a clip's features, seen through a thin convex lens from many distances.

    A thin lens of focal length f maps an object at distance u to an image at v, 1/f = 1/u + 1/v, and magnifies it by
    m = v/u = f/(u - f): nearer than 2f it grows, farther it shrinks. Each copy is the feature matrix, taken for a
    picture of F x K pixels, resized to round(m F) x round(m K) and from there to F x ``frames``. What was smaller than
    the picture has lost detail; what was larger differs little from the picture resized at once. So the copies of a
    clip are much alike, and what they are worth is a question of whether the split keeps them together.

    A reconstruction: no full text was to be had, and neither the distances nor the interpolation nor the size of the
    network's input are published to us; that there are about 40 images a clip is. Theirs are square, N x N: here a copy
    has the rows of the features, and a network for square pictures resizes clips and copies alike.

    Args:
        focal_length: f
        nearest: least distance of the object, in the unit of f and beyond f
        farthest: greatest distance. Between the two the object stands where its images are evenly spaced in size: at
            evenly spaced distances those from afar would be of one size, to the pixel
        images: how many distances, and so copies of a clip
        frames: of each copy
        interpolation: ``linear`` or ``nearest``; both without a filter, and with the pixels' centres half a pixel from
            the edge

    Raises:
        InputError: an object at or within the focal length, which has no real image; another value out of its range

    Source: Niu et al. 2017, "Improvement on speech emotion recognition based on deep convolutional neural networks"
    (arXiv 1707.09917), by its abstract and what others say of it.

    """

    names: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        focal_length: float,
        nearest: float,
        farthest: float,
        images: int,
        frames: int,
        interpolation: str,
    ) -> None:
        if not 0 < focal_length < nearest <= farthest < math.inf:
            raise InputError(
                f"augment.focal_length, nearest and farthest are {focal_length}, {nearest} and {farthest}; expected"
                " three lengths, the first less than the second: an object within the focal length has no real image"
            )
        for name, value in (("images", images), ("frames", frames)):
            if value < 1:
                raise InputError(f"augment.{name} is {value}; expected at least 1")
        if interpolation not in INTERPOLATIONS:
            raise InputError(f"augment.interpolation is {interpolation!r}; expected {' or '.join(INTERPOLATIONS)}")
        self.focal_length = focal_length
        self.nearest, self.farthest = nearest, farthest
        self.images = images
        self.frames = frames
        self.interpolation = interpolation

    def __call__(self, wave: Floats, *, utterance: str) -> dict[str, Floats]:
        """Make no copy of a waveform."""
        return {}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each copy, in the order of the distances."""
        return tuple(f"image{number:02d}" for number in range(1, self.images + 1))

    @cached_property
    def magnifications(self) -> npt.NDArray[np.float64]:
        """How much larger each image is than the object, f / (u - f), (images,)."""
        largest, smallest = (self.focal_length / (u - self.focal_length) for u in (self.nearest, self.farthest))
        return np.linspace(largest, smallest, self.images)

    def of_features(self, features: Floats, *, utterance: str) -> dict[str, Floats]:
        """Make the copies of a clip's features; these are left alone.

        Args:
            features: (F, K)
            utterance: id of the utterance; nothing here is random

        Returns:
            The copy of each name, (F, frames).

        """
        rows, columns = features.shape
        copies = {}
        for name, m in zip(self.feature_names, self.magnifications.tolist(), strict=True):
            # Both resizings are linear maps of either axis; one after the other, they are a product of matrices.
            across = self._through(columns, max(1, round(m * columns)), self.frames)  # (frames, K)
            down = self._through(rows, max(1, round(m * rows)), rows)  # (F, F)
            copies[name] = down @ (features @ across.T)
        return copies

    def _through(self, old: int, image: int, new: int) -> Floats:
        """Return what resizes an axis of ``old`` pixels to ``image`` and from there to ``new``, (new, old)."""
        return resizing(image, new, self.interpolation) @ resizing(old, image, self.interpolation)


def resizing(old: int, new: int, interpolation: str) -> Floats:
    """Return the matrix (new, old) that resizes an axis.

    >>> resizing(4, 2, "linear")
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]], dtype=float32)
    """
    at = (np.arange(new) + 0.5) * old / new - 0.5  # where the new pixels' centres lie among the old ones
    matrix = np.zeros((new, old), np.float32)
    if interpolation == "nearest":
        matrix[np.arange(new), np.floor(at + 0.5).astype(np.int64).clip(0, old - 1)] = 1
        return matrix
    at = at.clip(0, old - 1)
    before = at.astype(np.int64)
    matrix[np.arange(new), before] = 1 - (at - before)
    matrix[np.arange(new), np.minimum(before + 1, old - 1)] += (at - before).astype(np.float32)
    return matrix
