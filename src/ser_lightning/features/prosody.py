"""Prosodic and spectral statistics of a clip, in one vector."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import praat, reference, spectral
from ser_lightning.features.cepstra import Cepstra
from ser_lightning.features.spectral import Floats
from ser_lightning.features.statistics import check_functionals, functional_names, summarize
from ser_lightning.features.values import check_at_most, check_counts, check_positive
from ser_lightning.kernels.backend import AUTO, NATIVE


class Prosody:
    """Statistics over time of MFCC, zero crossing rate, short-term energy, pitch and formants.

    The rows are ``mfcc_01_mean`` ..., ``zcr_mean``, ``energy_mean``, ``f0_mean``, ``f1_mean`` ..., followed by those of
    the next statistic. Energy is the mean square of a frame, in dB with a floor of -100 dB. Pitch and formants, in Hz,
    use only the voiced frames; their statistics are 0 if there are none.

    Args:
        sampling_rate: rate of the input waves, Hz
        analysis_rate: rate to which the waves are resampled first, Hz
        n_fft: length of a frame, samples at the analysis rate; even
        hop_length: step between frames, samples at the analysis rate
        window: name of the window in scipy.signal.get_window
        n_mfcc: number of cepstral coefficients, at most ``n_mels``
        n_mels: number of mel bands
        pitch_floor: lowest pitch to detect, Hz
        pitch_ceiling: highest pitch to detect, Hz, at most half the analysis rate
        n_formants: number of formants to use, from the lowest, at most ``max_formants``
        max_formants: number of formants to search for
        formant_ceiling: highest frequency of the search, Hz, at most half the analysis rate
        functionals: the statistics, from ``mean``, ``std``, ``min``, ``max``, ``median``, ``iqr``, ``skewness`` and
            ``kurtosis``
        standardize: whether the model should standardize these features; not applied here
        backend: of MFCC, zero crossing rate and energy: ``native`` for the C kernels, ``librosa`` for the reference,
            ``auto`` for native where available

    Raises:
        InputError: a value is out of range, or Praat is not installed

    Source: the five kinds of features of Zhu et al. 2017, emotion recognition from Chinese speech; librosa for the
        first three, Praat for pitch and formants. Their statistics, frames and limits are not known to us.

    """

    libraries = ("praat-parselmouth",)  # the version of this library affects the features

    def __init__(
        self,
        *,
        sampling_rate: int,
        analysis_rate: int,
        n_fft: int,
        hop_length: int,
        window: str,
        n_mfcc: int,
        n_mels: int,
        pitch_floor: float,
        pitch_ceiling: float,
        n_formants: int,
        max_formants: int,
        formant_ceiling: float,
        functionals: Sequence[str],
        standardize: bool,
        backend: str = AUTO,
    ) -> None:
        praat.check_installed()
        self.cepstra = Cepstra(
            sampling_rate=sampling_rate,
            analysis_rate=analysis_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            window=window,
            n_mfcc=n_mfcc,
            n_mels=n_mels,
            n_chroma=0,
            signal_length=None,
            standardize=standardize,
            backend=backend,
        )
        check_counts(n_formants=n_formants, max_formants=max_formants)
        check_at_most("max_formants", max_formants, n_formants=n_formants)
        check_positive(pitch_floor=pitch_floor, pitch_ceiling=pitch_ceiling, formant_ceiling=formant_ceiling)
        if pitch_floor >= pitch_ceiling:
            raise InputError(
                f"features.pitch_floor is {pitch_floor}; expected less than features.pitch_ceiling, {pitch_ceiling}"
            )
        for name, value in (("pitch_ceiling", pitch_ceiling), ("formant_ceiling", formant_ceiling)):
            if value > analysis_rate / 2:
                raise InputError(
                    f"features.{name} is {value}; expected at most half of features.analysis_rate, {analysis_rate / 2}"
                )
        check_functionals(functionals)
        self.sampling_rate = sampling_rate
        self.analysis_rate = analysis_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.window = window
        self.n_mfcc = n_mfcc
        self.n_mels = n_mels
        self.pitch_floor = pitch_floor
        self.pitch_ceiling = pitch_ceiling
        self.n_formants = n_formants
        self.max_formants = max_formants
        self.formant_ceiling = formant_ceiling
        self.functionals = tuple(functionals)
        self.standardize = standardize
        self.backend = self.cepstra.backend
        voice = ("f0", *(f"f{n}" for n in range(1, n_formants + 1)))
        self.names = functional_names((*self.cepstra.names, "zcr", "energy", *voice), self.functionals)
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
        coefficients = self.cepstra(wave)  # (n_mfcc, K)
        wave = spectral.resample(wave, sampling_rate=self.sampling_rate, analysis_rate=self.analysis_rate)
        framing = {"n_fft": self.n_fft, "hop_length": self.hop_length}
        if self.backend == NATIVE:
            level = spectral.decibels(np.square(spectral.root_mean_square(spectral.frame(wave, **framing))))
            crossings = spectral.zero_crossing_rate(wave, **framing)
        else:
            crossings, level = reference.crossings_and_level(wave, **framing)
        heard = praat.analyse(
            wave,
            sampling_rate=self.analysis_rate,
            time_step=self.hop_length / self.analysis_rate,
            pitch_floor=self.pitch_floor,
            pitch_ceiling=self.pitch_ceiling,
            n_formants=self.n_formants,
            max_formants=self.max_formants,
            formant_ceiling=self.formant_ceiling,
        )
        every = summarize(np.concatenate((coefficients, crossings[None], level[None])), self.functionals)
        voiced = [self._summarize_defined(row) for row in (heard.pitch, *heard.formants)]
        parts = (every.reshape(len(self.functionals), -1), np.transpose(voiced))  # (functionals, rows) each
        return np.concatenate(parts, axis=1).reshape(-1, 1)

    def _summarize_defined(self, row: Floats) -> Floats:
        """Return the statistics of the finite values of a row, (voiced,) -> (functionals,); 0 if there are none."""
        defined = row[np.isfinite(row)]
        if not len(defined):
            return np.zeros(len(self.functionals), np.float32)
        return summarize(defined[None], self.functionals)
