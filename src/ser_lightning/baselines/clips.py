"""Conversion of clips to one vector per clip, as steps of a scikit-learn pipeline.

The input of a pipeline is an array of clips: N matrices (K, F), with K frames of F features each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler

ClipMatrices = npt.NDArray[np.object_]  # (N,), each a matrix (K, F)
Vectors = npt.NDArray[np.floating[Any]]  # (N, F)


def split_frames(frames: Vectors, lengths: npt.NDArray[np.int64]) -> ClipMatrices:
    """Divide concatenated frames (R, F) into clips of the given lengths (N,)."""
    clips = np.empty(len(lengths), dtype=object)
    for index, clip in enumerate(np.split(frames, np.cumsum(lengths)[:-1])):
        clips[index] = clip
    return clips


class FrameScaler(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Standardize each feature by its mean and standard deviation over all frames of the training clips."""

    def fit(self, clips: ClipMatrices, y: object = None) -> "FrameScaler":
        """Compute the mean and standard deviation of the frames."""
        self.scaler_ = StandardScaler().fit(np.concatenate(clips))
        return self

    def transform(self, clips: ClipMatrices) -> ClipMatrices:
        """Return the standardized clips; the input is not modified."""
        frames = self.scaler_.transform(np.concatenate(clips))
        return split_frames(frames, np.array([len(clip) for clip in clips]))


class FrameMean(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Represent each clip by the mean over its frames."""

    def fit(self, clips: ClipMatrices, y: object = None) -> "FrameMean":
        """Return self, since there is nothing to fit."""
        return self

    def transform(self, clips: ClipMatrices) -> Vectors:
        """Return the mean of each clip in double precision, (N, F)."""
        return np.stack([clip.mean(axis=0, dtype=np.float64) for clip in clips])


def vector_steps(*, standardize: bool) -> list[tuple[str, Any]]:
    """Return the pipeline steps that convert clips to vectors.

    Args:
        standardize: standardize the frames first

    """
    return [*([("standardize", FrameScaler())] if standardize else []), ("mean", FrameMean())]
