"""Any sound file to one channel at one rate."""

import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ser_lightning.errors import InputError

DOWNMIXES = ("mean", "interleave")
RESAMPLERS = ("soxr", "linear")
RATES = (4000, 768_000)  # Hz; a header that claims less would make gigabytes of a short file


def read_audio(path: str | Path) -> tuple[npt.NDArray[np.float32], int]:
    """Read a sound file as it is.

    Args:
        path: a file of any format libsndfile knows (WAV, FLAC, AIFF, OGG, MP3, ...)

    Returns:
        The samples, (samples, channels), full scale 1; and the sampling rate in Hz.

    Raises:
        InputError: no regular file, no sound file, no samples, or samples that are not finite

    """
    path = Path(path)
    try:
        # Looked at before it is opened: opening a FIFO would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not a regular file; give a sound file")
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(f"cannot read {path} as audio: {error}; replace the file or leave it out") from error
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"{path} claims a sampling rate of {rate} Hz; expected {RATES[0]} to {RATES[1]}: mend its header"
        )
    if wave.shape[0] == 0:
        raise InputError(f"{path} holds no samples; replace the file or leave it out")
    if not np.isfinite(wave).all():
        raise InputError(f"{path} holds samples that are NaN or infinite; replace the file or leave it out")
    return wave, int(rate)


def to_mono(
    wave: npt.NDArray[np.float32], rate: int, *, sampling_rate: int, downmix: str, resampler: str
) -> npt.NDArray[np.float32]:
    """Make one channel at ``sampling_rate``.

    Args:
        wave: (samples, channels)
        rate: sampling rate of ``wave``, Hz
        sampling_rate: the rate wanted, Hz
        downmix: ``"mean"`` of the channels; ``"interleave"`` takes left and right samples by turns as if they were one
            channel, at half the speed and an octave down: what the study's code does to its five stereo clips
        resampler: ``"soxr"``; ``"linear"`` joins the samples by straight lines and filters nothing, so that what is
            above half the new rate folds down into the speech: what pydub does, on which the study relies. From
            48 to 16 kHz it takes every third sample

    Returns:
        (samples,)

    """
    resample = _linear if resampler == "linear" else _soxr
    if rate == sampling_rate:
        resample = _unchanged
    if downmix == "mean":
        return resample(wave.mean(axis=1, dtype=np.float32), rate, sampling_rate)
    return np.ascontiguousarray(resample(wave, rate, sampling_rate)).reshape(-1)  # (n, C) -> (n C,)


def _unchanged(wave: npt.NDArray[np.float32], rate: int, sampling_rate: int) -> npt.NDArray[np.float32]:
    return wave


def _soxr(wave: npt.NDArray[np.float32], rate: int, sampling_rate: int) -> npt.NDArray[np.float32]:
    resampled: npt.NDArray[np.float32] = soxr.resample(wave, rate, sampling_rate, quality="HQ")
    # A clip of a sample or two can come out empty; nothing later takes an empty clip.
    return resampled if len(resampled) else wave[:1]


def _linear(wave: npt.NDArray[np.float32], rate: int, sampling_rate: int) -> npt.NDArray[np.float32]:
    samples = -(-len(wave) * sampling_rate // rate)
    position = np.arange(samples) * rate  # in parts of an input sample, sampling_rate to one: exact
    before, part = np.divmod(position, sampling_rate)
    after = np.minimum(before + 1, len(wave) - 1)
    weight = (part / sampling_rate).astype(np.float32).reshape(-1, *[1] * (wave.ndim - 1))
    resampled: npt.NDArray[np.float32] = wave[before] + weight * (wave[after] - wave[before])
    return resampled
