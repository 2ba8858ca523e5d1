"""Statistics of the 162 features of a clip, in one vector."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.features.statistics import check_functionals, functional_names, summarize
from ser_lightning.kernels.backend import AUTO


class Functionals:
    """Statistics over time of zero crossing rate, chroma, MFCC, RMS and mel power.

    The rows are ``zcr_mean``, ``chroma_01_mean`` ..., followed by those of the next statistic.

    Args:
        sampling_rate: as in :class:`~ser_lightning.features.spectral162.Spectral162`
        analysis_rate: as in Spectral162
        filterbank_rate: as in Spectral162
        n_fft: as in Spectral162
        hop_length: as in Spectral162
        window: as in Spectral162
        n_chroma: as in Spectral162
        n_mfcc: as in Spectral162
        n_mels: as in Spectral162
        log: as in Spectral162
        functionals: the statistics, from ``mean``, ``std``, ``min``, ``max``, ``median``, ``iqr``, ``skewness`` and
            ``kurtosis``
        standardize: whether the model should standardize these features; not applied here
        backend: as in Spectral162

    Raises:
        InputError: a value is out of range

    """

    def __init__(
        self,
        *,
        sampling_rate: int,
        analysis_rate: int,
        filterbank_rate: int,
        n_fft: int,
        hop_length: int,
        window: str,
        n_chroma: int,
        n_mfcc: int,
        n_mels: int,
        log: bool,
        functionals: Sequence[str],
        standardize: bool,
        backend: str = AUTO,
    ) -> None:
        check_functionals(functionals)
        self.rows = Spectral162(
            sampling_rate=sampling_rate,
            analysis_rate=analysis_rate,
            filterbank_rate=filterbank_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            window=window,
            n_chroma=n_chroma,
            n_mfcc=n_mfcc,
            n_mels=n_mels,
            log=log,
            standardize=standardize,
            backend=backend,
        )
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.filterbank_rate = filterbank_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.window = window
        self.n_chroma = n_chroma
        self.n_mfcc = n_mfcc
        self.n_mels = n_mels
        self.log = log
        self.functionals = tuple(functionals)
        self.standardize = standardize
        self.backend = self.rows.backend
        self.names = functional_names(self.rows.names, self.functionals)
        self.size = len(self.names)

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, 1)

        Raises:
            InputError: the wave is not a float32 vector, is empty, or has samples that are not finite or absurdly loud

        """
        return summarize(self.rows(wave), self.functionals)[:, None]  # (162, K) -> (size, 1)
