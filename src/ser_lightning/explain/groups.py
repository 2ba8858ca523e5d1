"""Groups of features, such as the blocks of the study, and bands of frequencies."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.features.filterbanks import mel_edges

SPECTRAL = ("mel", "delta", "delta2", "bin")  # blocks whose numbers are frequencies


class FeatureGroup(NamedTuple):
    """Features that are explained together.

    Args:
        name: name of the group
        columns: their indices

    """

    name: str
    columns: npt.NDArray[np.int64]


def feature_groups(names: Sequence[str]) -> list[FeatureGroup]:
    """Group features by the part of their name before the number or the statistic, in the order of the features.

    >>> [(name, columns.tolist()) for name, columns in feature_groups(("zcr", "mfcc_01", "mfcc_02", "mel_001"))]
    [('zcr', [0]), ('mfcc', [1, 2]), ('mel', [3])]
    >>> [name for name, _ in feature_groups(("mfcc1_sma3_amean", "mfcc2_sma3_amean", "layer1_000_mean"))]
    ['mfcc', 'layer1']
    """
    columns: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        columns.setdefault(_group_name(name), []).append(index)
    return [FeatureGroup(name, np.array(indices)) for name, indices in columns.items()]


def feature_bands(extractor: Any, *, bands: int) -> list[FeatureGroup]:
    """Group the features of an extractor, with spectral blocks divided into bands of neighboring frequencies.

    Args:
        extractor: a :class:`~ser_lightning.features.extractor.FeatureExtractor`
        bands: number of bands of a spectral block

    """
    groups = []
    for group in feature_groups(feature_names(extractor)):
        groups += _divide(group, extractor, bands) if group.name in SPECTRAL else [group]
    return groups


def feature_names(extractor: Any) -> Sequence[str]:
    """Return the names of the features of an extractor; an extractor of another package may have none."""
    names: Sequence[str] | None = getattr(extractor, "names", None)
    return [f"feature_{number}" for number in range(extractor.size)] if names is None else names


def hertz(low: float, high: float) -> str:
    """Return a band of frequencies as text.

    >>> hertz(0, 312.4), hertz(800, 2500)
    ('0-310 Hz', '0.8-2.5 kHz')
    """
    if high < 1000:
        return f"{round(low, -1):.0f}-{round(high, -1):.0f} Hz"
    return f"{low / 1000:.1f}-{high / 1000:.1f} kHz"


def _group_name(name: str) -> str:
    if "_sma" in name:  # openSMILE: <name><number>_sma<width>_<statistic>
        return re.sub(r"(?<=\D)\d+$", "", name.partition("_sma")[0]) or name
    return name.partition("_")[0]


def _divide(group: FeatureGroup, extractor: Any, bands: int) -> list[FeatureGroup]:
    if not {"analysis_rate", "n_mels" if group.name != "bin" else "bins"} <= {*dir(extractor)}:
        return [group]  # an extractor of another package
    numbers = np.array([int(extractor.names[column].split("_")[1]) for column in group.columns])
    present = np.unique(numbers)
    edges = _edges(group.name, extractor)  # (numbers + 1,), Hz
    prefix = "" if group.name in ("mel", "bin") else f"{group.name} "
    parts = []
    for part in np.array_split(present, min(bands, len(present))):
        first, last = part[0] - present[0], part[-1] - present[0]
        columns = group.columns[np.isin(numbers, part)]
        parts.append(FeatureGroup(prefix + hertz(edges[first], edges[last + 1]), columns))
    return parts


def _edges(name: str, extractor: Any) -> npt.NDArray[np.float64]:
    """Return the frequencies between neighboring features of a spectral block, and its lowest and highest, Hz."""
    if name == "bin":
        width: float = extractor.analysis_rate / extractor.n_fft
        return np.maximum(0, (np.arange(extractor.bins + 1) - 0.5) * width)
    rate = getattr(extractor, "filterbank_rate", extractor.analysis_rate)
    corners = mel_edges(sampling_rate=rate, n_mels=extractor.n_mels)  # (n_mels + 2,)
    return np.concatenate([corners[:1], (corners[1:-2] + corners[2:-1]) / 2, corners[-1:]])
