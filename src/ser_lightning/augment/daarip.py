"""DAARIP: copies of a training clip's spectrogram, resized like its images behind a thin lens."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError, check_value

INTERPOLATIONS = ("linear", "nearest")
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Daarip:
    """Data augmentation by retinal imaging: resize the features of a clip like its images behind a thin convex lens.

    A thin lens of focal length f maps an object at distance u to an image at distance v with 1/f = 1/u + 1/v, and
    magnifies it by m = v/u = f/(u - f): the image is larger than the object if u < 2f and smaller if u > 2f. Each copy
    is the feature matrix, taken as a picture of K x F pixels, resized to round(m K) x round(m F) and from there to
    ``frames`` x F. Copies with m < 1 lose detail; copies with m > 1 differ little from the picture resized in one step.
    The copies of a clip are therefore much alike, and a split that does not keep them together has leakage.

    This is a reconstruction: the full text of the paper was not available to us, and we know only that there are about
    40 images per clip, not the distances, the interpolation or the input size of the network. The images of the paper
    are square, N x N. Here a copy keeps the number of features, and a network for square pictures resizes clips and
    copies alike.

    Args:
        focal_length: f, in any unit of length
        nearest: smallest distance of the object, in the unit of f and greater than f
        farthest: greatest distance of the object, in the same unit. The magnifications are evenly spaced between those
            of the two distances, because evenly spaced distances would give images of equal size in pixels far away
        images: number of distances, and thus of copies per clip
        frames: number of frames of each copy
        interpolation: ``linear`` or ``nearest``, both without an anti-aliasing filter; the centers of the outer pixels
            are half a pixel from the edge

    Raises:
        InputError: a distance is not greater than the focal length, or another value is out of range

    Source: the abstract of Niu et al. 2017, "Improvement on speech emotion recognition based on deep convolutional
    neural networks" (arXiv 1707.09917), and descriptions by others.

    """

    focal_length: float
    nearest: float
    farthest: float
    images: int
    frames: int
    interpolation: str

    def __post_init__(self) -> None:
        if not 0 < self.focal_length < self.nearest <= self.farthest < math.inf:
            raise InputError(
                f"augment.focal_length, nearest and farthest are {self.focal_length}, {self.nearest} and"
                f" {self.farthest}; expected three increasing lengths: an object within the focal length has no real"
                " image"
            )
        check_value("augment.images", self.images, valid=self.images >= 1, expected="at least 1")
        check_value("augment.frames", self.frames, valid=self.frames >= 1, expected="at least 1")
        known = self.interpolation in INTERPOLATIONS
        check_value("augment.interpolation", self.interpolation, valid=known, expected=" or ".join(INTERPOLATIONS))

    @property
    def feature_copy_names(self) -> tuple[str, ...]:
        """Names of the copies, in the order of the distances, nearest first."""
        return tuple(f"image{number:02d}" for number in range(1, self.images + 1))

    @cached_property
    def magnifications(self) -> npt.NDArray[np.float64]:
        """Magnification of each image, f / (u - f), in descending order, (images,)."""
        largest, smallest = (self.focal_length / (u - self.focal_length) for u in (self.nearest, self.farthest))
        return np.linspace(largest, smallest, self.images)

    def augment_features(self, features: Floats, *, utterance: str) -> dict[str, Floats]:
        """Return the augmented copies of a clip's features, which are not modified.

        Args:
            features: (K, F)
            utterance: id of the utterance; unused, as nothing here is random

        Returns:
            The copies by name, (frames, F).

        """
        frames, size = features.shape
        copies = {}
        for name, m in zip(self.feature_copy_names, self.magnifications.tolist(), strict=True):
            # Each resizing is a linear map of each axis, so two in succession are a product of matrices.
            along_time = self._resizing_twice(frames, max(1, round(m * frames)), self.frames)  # (frames, K)
            along_features = self._resizing_twice(size, max(1, round(m * size)), size)  # (F, F)
            copies[name] = np.matmul(along_time, features @ along_features.T, dtype=np.float32)
        return copies

    def _resizing_twice(self, old: int, image: int, new: int) -> Floats:
        """Return the matrix (new, old) that resizes an axis of ``old`` pixels to ``image`` and then to ``new``."""
        return resizing(image, new, self.interpolation) @ resizing(old, image, self.interpolation)


def resizing(old: int, new: int, interpolation: str) -> Floats:
    """Return the matrix (new, old) that resizes an axis of ``old`` pixels to ``new``.

    >>> resizing(4, 2, "linear")
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]], dtype=float32)
    """
    at = (np.arange(new) + 0.5) * old / new - 0.5  # positions of the centers of the new pixels among the old ones
    matrix = np.zeros((new, old), np.float32)
    if interpolation == "nearest":
        matrix[np.arange(new), np.floor(at + 0.5).astype(np.int64).clip(0, old - 1)] = 1
        return matrix
    at = at.clip(0, old - 1)
    before = at.astype(np.int64)
    matrix[np.arange(new), before] = 1 - (at - before)
    matrix[np.arange(new), np.minimum(before + 1, old - 1)] += (at - before).astype(np.float32)
    return matrix
