"""The acoustic parameter sets of openSMILE, one vector per clip."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import spectral
from ser_lightning.features.spectral162 import check_wave
from ser_lightning.features.values import check_choice, check_counts

FEATURE_SETS = ("ComParE_2016", "eGeMAPSv02")
SHORTEST = 0.1  # s; openSMILE returns nothing for shorter waves


class OpenSmile:
    """The functionals of an openSMILE feature set.

    openSMILE is free for research and teaching only, see its license; the extra ``opensmile`` installs it.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        feature_set: ``ComParE_2016`` (6373 functionals) or ``eGeMAPSv02`` (88 functionals)
        standardize: whether the model should standardize these features; not applied here

    Raises:
        InputError: a value is out of range, or openSMILE is not installed

    Source: opensmile; Schuller et al. 2016, the INTERSPEECH 2016 computational paralinguistics challenge; Eyben et al.
        2016, the Geneva minimalistic acoustic parameter set

    """

    libraries = ("opensmile",)  # the version of this library affects the features

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
        """Compute the features of a clip.

        Args:
            wave: (samples,), full scale 1. It is clipped at full scale, because openSMILE uses 16-bit samples, and
                zero-padded at its end if it is shorter than 0.1 s

        Returns:
            (size, 1); values that are NaN or infinite are 0

        Raises:
            InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

        """
        check_wave(wave)
        wave = spectral.resample(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        shortest = int(np.ceil(SHORTEST * self.analysis_rate))
        wave = np.pad(wave, (0, max(0, shortest - len(wave))))
        # Without clipping, louder samples would overflow and change their sign.
        wave = np.clip(wave, np.float32(-1), np.float32(1 - 2**-15))
        values = _extractor(self.feature_set)(wave[None], self.analysis_rate)  # (1, size, 1)
        return np.nan_to_num(np.asarray(values[0], np.float32), nan=0.0, posinf=0.0, neginf=0.0)


@lru_cache
def _extractor(feature_set: str) -> Any:
    """Return openSMILE's extractor, cached here because the feature objects are sent to other processes."""
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
