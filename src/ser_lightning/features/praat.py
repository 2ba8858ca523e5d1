"""Pitch and formants by Praat.

Praat comes with praat-parselmouth (GPL-3), an optional dependency of the extra ``synthetic``.
"""

import importlib.util
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError

Floats = npt.NDArray[np.float32]

PERIODS = 3  # periods of the lowest pitch that a frame of Praat contains
FORMANT_WINDOW = 0.025  # s; the actual frame of Praat is twice as long
PRE_EMPHASIS = 50.0  # Hz


class Voice(NamedTuple):
    """Pitch and formants of the voiced frames of a clip, of which there may be none.

    Args:
        pitch: (voiced,), Hz
        formants: (n_formants, voiced), Hz, NaN where Praat finds no formant

    """

    pitch: Floats
    formants: Floats


def check_installed() -> None:
    """Check that Praat is installed.

    Raises:
        InputError: Praat is not installed

    """
    if importlib.util.find_spec("parselmouth") is None:
        raise InputError(
            "features=prosody needs Praat, which is not installed; install it with pip install"
            " 'ser-lightning[synthetic]' (GPL-3), or choose other features="
        )


def analyze(
    wave: Floats,
    *,
    sampling_rate: int,
    time_step: float,
    pitch_floor: float,
    pitch_ceiling: float,
    n_formants: int,
    max_formants: int,
    formant_ceiling: float,
) -> Voice:
    """Compute pitch and formants of the voiced frames.

    Args:
        wave: (samples,); zero-padded at its end if it is shorter than a frame of Praat
        sampling_rate: Hz
        time_step: step between frames, s
        pitch_floor: lowest pitch to detect, Hz
        pitch_ceiling: highest pitch to detect, Hz
        n_formants: number of formants to return, from the lowest
        max_formants: number of formants to search for
        formant_ceiling: highest frequency of the search, Hz

    Source: Praat, To Pitch (ac) and To Formant (burg) with its standard values for all other settings

    """
    import parselmouth

    shortest = int(np.ceil(max(PERIODS / pitch_floor, 2 * FORMANT_WINDOW) * sampling_rate)) + 1
    padded = np.pad(wave.astype(np.float64), (0, max(0, shortest - len(wave))))  # Praat crashes on a single sample
    sound: Any = parselmouth.Sound(padded, sampling_rate)
    track = sound.to_pitch_ac(time_step=time_step, pitch_floor=pitch_floor, pitch_ceiling=pitch_ceiling)
    hertz = track.selected_array["frequency"]  # (frames,), 0 where unvoiced
    voiced = np.flatnonzero(hertz)
    if not len(voiced):
        return Voice(np.zeros(0, np.float32), np.zeros((n_formants, 0), np.float32))
    burg = sound.to_formant_burg(
        time_step=time_step,
        max_number_of_formants=max_formants,
        maximum_formant=formant_ceiling,
        window_length=FORMANT_WINDOW,
        pre_emphasis_from=PRE_EMPHASIS,
    )
    times = track.xs()[voiced]
    formants = [[burg.get_value_at_time(n, time) for time in times] for n in range(1, n_formants + 1)]
    return Voice(hertz[voiced].astype(np.float32), np.array(formants, np.float32))
