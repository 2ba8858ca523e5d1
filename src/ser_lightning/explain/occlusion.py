"""Explain an answer by occlusion: the change of a logit when a part of the clip is replaced by a baseline.

Source: Zeiler & Fergus 2014, Visualizing and understanding convolutional networks (arXiv 1311.2901)
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, Protocol

import numpy as np
import torch

from ser_lightning.explain.explanation import Doubles, Explanation, Floats, block_borders
from ser_lightning.explain.groups import FeatureGroup, hertz
from ser_lightning.features.filterbanks import mel_edges

TOGETHER = 32  # occluded clips that are scored together
WINDOW = 0.032  # seconds, of the transform that divides audio into bands
QUIET = 0.1  # quantile over time of the magnitude of a frequency, which stands for its background noise

Score = Callable[[Sequence[Floats]], Doubles]  # clips -> logits (B, classes)


class Occluder(Protocol):
    """A clip of which parts can be replaced by a baseline.

    Attributes:
        method: name of the method
        seconds: borders of the blocks of time, (T + 1,)
        rows: names of the rows
        picture: an array (features, frames) per row, for drawing

    """

    method: str
    seconds: Doubles
    rows: Sequence[str]
    picture: Sequence[Floats]

    def occlude(self, block: int | None, row: int | None) -> Floats:
        """Return the clip with a block of time replaced in a row; None stands for all blocks or rows."""
        ...


def explain_by_occlusion(score: Score, clip: Floats, occluder: Occluder, *, emotion: int) -> Explanation:
    """Explain an answer by the change of a logit for each part that is occluded.

    Args:
        score: scores clips of the form that the occluder returns
        clip: the clip of this form, without occlusion
        occluder: replaces parts of the clip
        emotion: index of the emotion whose logit is explained

    """
    blocks, rows = len(occluder.seconds) - 1, len(occluder.rows)
    cells = list(product([*range(blocks), None], [*range(rows), None]))
    logits = np.concatenate(list(_logits(score, occluder, cells)))[:, emotion]
    change = (score([clip])[0, emotion] - logits).reshape(blocks + 1, rows + 1)
    return Explanation(
        method=occluder.method,
        seconds=occluder.seconds,
        rows=occluder.rows,
        contributions=change[:-1, :-1],
        by_time=change[:-1, -1],
        by_row=change[-1, :-1],
        total=float(change[-1, -1]),
        error=None,
        picture=occluder.picture,
    )


def _logits(score: Score, occluder: Occluder, cells: Sequence[tuple[int | None, int | None]]) -> Iterator[Doubles]:
    for start in range(0, len(cells), TOGETHER):
        yield score([occluder.occlude(*cell) for cell in cells[start : start + TOGETHER]])


class FeatureOcclusion:
    """Occlusion of feature groups: the features of a block of time are replaced by their mean.

    Args:
        features: (K, F)
        seconds: duration of the clip
        block: wanted length of a block of time, seconds
        groups: groups of the features
        baseline: value that replaces each feature, (F,)
        scale: typical deviation of each feature, for drawing, (F,)

    """

    method = "features"

    def __init__(
        self,
        features: Floats,
        *,
        seconds: float,
        block: float,
        groups: Sequence[FeatureGroup],
        baseline: Floats,
        scale: Floats,
    ) -> None:
        self.features, self.groups, self.baseline = features, groups, baseline
        self.borders = block_borders(len(features), seconds=seconds, block=block)
        self.seconds: Doubles = seconds / len(features) * self.borders.astype(np.float64)
        self.rows: Sequence[str] = [group.name for group in groups]
        standardized = (features - baseline) / scale
        self.picture: Sequence[Floats] = [standardized[:, group.columns].T for group in groups]

    def occlude(self, block: int | None, row: int | None) -> Floats:
        """Return the features with a block of time replaced in a group."""
        frames = slice(None) if block is None else slice(self.borders[block], self.borders[block + 1])
        columns: Any = slice(None) if row is None else self.groups[row].columns
        occluded = self.features.copy()
        occluded[frames, columns] = self.baseline[columns]
        return occluded


class AudioOcclusion:
    """Occlusion of frequency bands of a waveform, for any kind of features.

    The spectrum in a block of time is lowered to the tenth percentile of each frequency over the clip, which stands for
    the background noise of the recording: silence of the digital kind occurs in no training clip.

    Args:
        wave: (samples,)
        rate: sampling rate, Hz
        block: wanted length of a block of time, seconds
        bands: number of bands, equally wide in mel

    """

    method = "audio"

    def __init__(self, wave: Floats, *, rate: int, block: float, bands: int) -> None:
        self.wave = torch.from_numpy(wave)
        self.n_fft = 2 * round(WINDOW * rate / 2)
        self.window = torch.hann_window(self.n_fft)
        self.spectrum = torch.stft(  # (bins, frames)
            self.wave, self.n_fft, window=self.window, pad_mode="constant", return_complex=True
        )
        magnitude = self.spectrum.abs()
        quiet = torch.quantile(magnitude, QUIET, dim=1, keepdim=True)
        self.gain = torch.where(magnitude > quiet, quiet / magnitude.clamp_min(1e-12), 1.0)
        seconds = len(wave) / rate
        self.borders = block_borders(self.spectrum.shape[1], seconds=seconds, block=block)
        self.seconds: Doubles = seconds / self.borders[-1] * self.borders.astype(np.float64)
        corners = mel_edges(sampling_rate=rate, n_mels=bands - 1)  # (bands + 1,), Hz
        self.bins = np.round(corners * self.n_fft / rate).astype(int)
        self.bins[-1] += 1  # half the sampling rate
        self.rows: Sequence[str] = [hertz(low, high) for low, high in pairwise(corners)]
        decibels = 20 * torch.log10(magnitude.clamp_min(1e-6)).numpy()
        level = (decibels - decibels.mean()) / max(float(decibels.std()), 1e-6)
        self.picture: Sequence[Floats] = [level[low:high] for low, high in pairwise(self.bins)]

    def occlude(self, block: int | None, row: int | None) -> Floats:
        """Return the waveform with a block of time lowered to the background noise in a band."""
        frames = slice(None) if block is None else slice(self.borders[block], self.borders[block + 1])
        bins = slice(None) if row is None else slice(self.bins[row], self.bins[row + 1])
        spectrum = self.spectrum.clone()
        spectrum[bins, frames] *= self.gain[bins, frames]
        occluded: Floats = torch.istft(spectrum, self.n_fft, window=self.window, length=len(self.wave)).numpy()
        return occluded
