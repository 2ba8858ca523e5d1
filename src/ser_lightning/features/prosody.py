"""What is heard of a voice beside its words, in one vector."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError
from ser_lightning.features import praat, reference, spectral
from ser_lightning.features.cepstra import Cepstra
from ser_lightning.features.spectral import Floats
from ser_lightning.features.statistics import check_functionals, names_of, summarize
from ser_lightning.features.values import check_at_most, check_counts, check_positive
from ser_lightning.kernels.backend import AUTO, NATIVE


class Prosody:
    """Statistics over time of MFCC, zero crossing rate, short-term energy, pitch and formants.

    The rows are ``mfcc_01_mean`` ..., ``zcr_mean``, ``energy_mean``, ``f0_mean``, ``f1_mean`` ... and then those of
    the next statistic. Energy is the mean square of a frame, dB above -100 dB. Pitch and formants, Hz, are those of the
    voiced frames; 0 if none is.

    Args:
        sampling_rate: of the waves given, Hz
        analysis_rate: to which they are resampled before anything is computed, Hz
        n_fft: length of a frame, samples at the analysis rate; even
        hop_length: between frames, samples at the analysis rate
        window: its name in scipy.signal.get_window
        n_mfcc: cepstral coefficients, at most ``n_mels``
        n_mels: mel bands
        pitch_floor: the lowest pitch that is looked for, Hz
        pitch_ceiling: the highest, Hz, at most half the analysis rate
        n_formants: how many, from the lowest, at most ``max_formants``
        max_formants: how many are looked for
        formant_ceiling: below which frequency, Hz, at most half the analysis rate
        functionals: the statistics, of ``mean``, ``std``, ``min``, ``max``, ``median``, ``iqr``, ``skewness`` and
            ``kurtosis``
        standardize: the model shall standardise these features; nothing is done about it here
        backend: of MFCC, zero crossing rate and energy: ``native``, the C kernels; ``librosa``, the reference; or
            ``auto``, native where the kernels can be used

    Raises:
        InputError: a value out of its range, or Praat is not installed

    Source: the five kinds of Zhu et al. 2017, emotion recognition from Chinese speech; librosa for the first three,
        Praat for pitch and formants. Which statistics, frames and limits they took is not known to us

    """

    libraries = ("praat-parselmouth",)  # whose version shapes the numbers too

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
        self.names = names_of((*self.cepstra.names, "zcr", "energy", *voice), self.functionals)
        self.size = len(self.names)

    def __call__(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features of a clip.

        Args:
            wave: (samples,), full scale 1

        Returns:
            (size, 1)

        Raises:
            InputError: not a vector of float32, empty, or with samples that are not finite or absurdly loud

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
        """Return the statistics of a row (voiced,) over its numbers, 0 if there are none: (functionals,)."""
        defined = row[np.isfinite(row)]
        if not len(defined):
            return np.zeros(len(self.functionals), np.float32)
        return summarize(defined[None], self.functionals)
