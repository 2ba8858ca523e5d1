"""The acoustic parameter sets of openSMILE: a clip in one vector."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import spectral
from ser_lightning.features.spectral162 import check_wave
from ser_lightning.features.values import check_choice, check_counts

FEATURE_SETS = ("ComParE_2016", "eGeMAPSv02")
SHORTEST = 0.1  # s; of less, openSMILE makes nothing


class OpenSmile:
    """The functionals of a feature set.

    openSMILE is free for research and teaching alone, see its licence; it comes with the extra ``opensmile``.

    Args:
        sampling_rate: of the waves given, Hz
        analysis_rate: to which they are resampled before anything is computed, Hz
        feature_set: ``ComParE_2016``, 6373 functionals, or ``eGeMAPSv02``, 88
        standardize: the model shall standardise these features; nothing is done about it here

    Raises:
        InputError: a value out of its range, or openSMILE is not installed

    Source: opensmile; Schuller et al. 2016, the INTERSPEECH 2016 computational paralinguistics challenge; Eyben et al.
        2016, the Geneva minimalistic acoustic parameter set

    """

    libraries = ("opensmile",)  # whose version shapes the numbers too

    def __init__(self, *, sampling_rate: int, analysis_rate: int, feature_set: str, standardize: bool) -> None:
        check_counts(sampling_rate=sampling_rate, analysis_rate=analysis_rate)
        check_choice(FEATURE_SETS, feature_set=feature_set)
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.feature_set = feature_set
        self.standardize = standardize
        self.names = tuple(_extractor(feature_set).feature_names)
        self.size = len(self.names)

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features of a clip.

        Args:
            wave: (samples,), full scale 1, beyond which it is clipped, because openSMILE hears 16 bits; silence is
                appended to what is shorter than a tenth of a second

        Returns:
            (size, 1); 0 for what is not a number

        Raises:
            InputError: not a vector of float32, empty, or with samples that are not finite or absurdly loud

        """
        check_wave(wave)
        wave = spectral.resample(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        shortest = int(np.ceil(SHORTEST * self.analysis_rate))
        wave = np.pad(wave, (0, max(0, shortest - len(wave))))
        # What is louder would come back from the other end of 16 bits.
        wave = np.clip(wave, np.float32(-1), np.float32(1 - 2**-15))
        values = _extractor(self.feature_set)(wave[None], self.analysis_rate)  # (1, size, 1)
        return np.nan_to_num(np.asarray(values[0], np.float32), nan=0.0, posinf=0.0, neginf=0.0)


@lru_cache
def _extractor(feature_set: str) -> Any:
    """Return openSMILE's extractor; kept here and not in the object, which travels to other processes."""
    try:
        import opensmile
    except ImportError as error:
        raise InputError(
            "openSMILE is not installed, which makes features=compare and features=egemaps; install the extra:"
            " pip install 'ser-lightning[opensmile]' (free for research alone)"
        ) from error
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[feature_set], feature_level=opensmile.FeatureLevel.Functionals
    )
