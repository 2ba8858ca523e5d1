"""The acoustic parameter sets of openSMILE, one vector per clip."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ser_lightning.errors import needs_extra
from ser_lightning.features.checks import check_choice
from ser_lightning.features.extractor import FeatureExtractor, Floats

FEATURE_SETS = ("ComParE_2016", "eGeMAPSv02")
SHORTEST = 0.1  # s; openSMILE returns nothing for shorter waves


@dataclass(frozen=True, kw_only=True)
class OpenSmile(FeatureExtractor):
    """The functionals of an openSMILE feature set.

    A clip is clipped at full scale, because openSMILE uses 16-bit samples, and zero-padded at its end if it is shorter
    than 0.1 s. Values that are NaN or infinite are 0. openSMILE is free for research and teaching only, see its
    license; the extra ``opensmile`` installs it.

    Args:
        feature_set: ``ComParE_2016`` (6373 functionals) or ``eGeMAPSv02`` (88 functionals)

    Raises:
        InputError: a value is out of range, or openSMILE is not installed

    Source: opensmile; Schuller et al. 2016, the INTERSPEECH 2016 computational paralinguistics challenge; Eyben et al.
        2016, the Geneva minimalistic acoustic parameter set

    """

    feature_set: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(FEATURE_SETS, feature_set=self.feature_set)
        _extractor(self.feature_set)  # fails early if openSMILE is not installed

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        return tuple(_extractor(self.feature_set).feature_names)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the features, besides numpy."""
        return (*super().libraries, "opensmile")

    def compute(self, wave: Floats) -> Floats:
        """Compute the features (1, F) of a valid wave (samples,) at the analysis rate."""
        shortest = int(np.ceil(SHORTEST * self.analysis_rate))
        wave = np.pad(wave, (0, max(0, shortest - len(wave))))
        # Without clipping, louder samples would overflow and change their sign.
        wave = np.clip(wave, np.float32(-1), np.float32(1 - 2**-15))
        values: Floats = _extractor(self.feature_set)(wave[None], self.analysis_rate)  # (1, F, 1)
        return np.nan_to_num(values[:, :, 0], nan=0.0, posinf=0.0, neginf=0.0)


@lru_cache
def _extractor(feature_set: str) -> Any:
    """Return openSMILE's extractor, cached here because the feature objects are sent to other processes."""
    with needs_extra("features=compare or features=egemaps (openSMILE, free for research alone)", "opensmile"):
        import opensmile
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[feature_set], feature_level=opensmile.FeatureLevel.Functionals
    )
