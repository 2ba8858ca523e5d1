"""Checks of the waveforms that Python code passes in."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError

Waveform = npt.NDArray[np.floating[Any]]  # (samples,), or (samples, channels) as soundfile returns it; full scale 1


def check_waveform(waveform: Waveform, sampling_rate: int) -> npt.NDArray[np.float32]:
    """Return a waveform as (samples, channels).

    Raises:
        InputError: it is empty, not finite, or not of floating point numbers; or the sampling rate is none

    """
    wave = np.asarray(waveform)
    if not np.issubdtype(wave.dtype, np.floating) or wave.ndim not in (1, 2) or not wave.size:
        raise InputError(
            f"the waveform has shape {wave.shape} and type {wave.dtype}; expected samples, or samples and channels, of"
            " floating point numbers between -1 and 1, as soundfile.read returns"
        )
    if not np.isfinite(wave).all():
        raise InputError("the waveform has samples that are NaN or infinite; expected finite samples")
    check_rate(sampling_rate)
    return wave.astype(np.float32).reshape(len(wave), -1)


def check_rate(rate: object) -> int:
    """Return a sampling rate, Hz.

    Raises:
        InputError: it is no positive whole number

    """
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate < 1:
        raise InputError(f"the sampling rate is {rate!r}; expected a whole number of Hz")
    return int(rate)


def prepare_waveform(audio: Any, waveform: Waveform, sampling_rate: int) -> npt.NDArray[np.float32]:
    """Return a waveform as features are computed from it: mono, resampled, perhaps cut to speech, (samples,)."""
    channels = check_waveform(waveform, sampling_rate)
    prepared: npt.NDArray[np.float32] = audio.convert(channels, int(sampling_rate), downmix="mean").wave
    return prepared
