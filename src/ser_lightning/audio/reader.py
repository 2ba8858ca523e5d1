"""Any sound file to one channel at one rate."""

import os
import re
import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ser_lightning.errors import InputError, shown

DOWNMIXES = ("mean", "interleave", "right")
RESAMPLERS = ("soxr", "linear")
RATES = (4000, 768_000)  # Hz; a header that claims less would make gigabytes of a short file
SECONDS, SAMPLES = 3600, 2**28  # the latter over all channels, 1 GiB; minutes of silence compress to nothing
LOUDEST = 2.0**31  # floats may be scaled as integers are; their squares, summed, must stay finite
CUT = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
STREAMED = 2**31 - 2**17  # sizes from here on are written by programs that cannot know them yet


def read_audio(path: str | Path) -> tuple[npt.NDArray[np.float32], int]:
    """Read a sound file as it is.

    Args:
        path: a file of any format libsndfile knows (WAV, FLAC, AIFF, OGG, MP3, ...)

    Returns:
        The samples, (samples, channels), full scale 1; and the sampling rate in Hz.

    Raises:
        InputError: no regular file, no sound file, no samples, more of them than can be believed, fewer than the
            header says, or samples that are not finite

    """
    path = Path(path)
    try:
        # Looked at before it is opened: opening a FIFO would wait for ever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{shown(path)} is not a regular file; give a sound file")
        if status.st_size == 0:
            raise InputError(f"{shown(path)} is an empty file; replace the file or leave it out")
        path.open("rb").close()  # says why it cannot, which libsndfile does not
        with soundfile.SoundFile(os.fsencode(path)) as file:  # a name need not be text
            _check_header(file, path)
            wave = _samples(file)
            rate, claimed = int(file.samplerate), file.frames
    # RuntimeError and TypeError are soundfile's, of a file that it takes for headerless
    except (OSError, soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise InputError(
            f"cannot read {shown(path)} as audio: {_reason(error)}; replace the file or leave it out"
        ) from error
    if wave.shape[0] == 0:
        raise InputError(f"{shown(path)} holds no samples; replace the file or leave it out")
    if wave.shape[0] < claimed:
        raise InputError(
            f"{shown(path)} is cut short: it holds {wave.shape[0]} of the {claimed} samples that its header names;"
            " replace the file or leave it out"
        )
    loudest = max(wave.max(), -wave.min())
    if not loudest <= LOUDEST:  # written so that NaN is refused
        raise InputError(
            f"{shown(path)} holds samples that are NaN, infinite or beyond 32-bit integers ({loudest}), where full"
            " scale is 1; replace the file or leave it out"
        )
    return wave, rate


def _samples(file: soundfile.SoundFile) -> npt.NDArray[np.float32]:
    """Read all samples, (samples, channels), full scale 1: libsndfile's numbers by ways that take less time."""
    if file.subtype == "PCM_16":
        levels: npt.NDArray[np.int16] = file.read(dtype="int16", always_2d=True)
        return np.multiply(levels, np.float32(1 / 32768), dtype=np.float32)
    wave: npt.NDArray[np.float32] = file.read(dtype="float32", always_2d=True)
    return wave


def _check_header(file: soundfile.SoundFile, path: Path) -> None:
    """Refuse what a header says before anything is made of it.

    Raises:
        InputError: a rate or a length beyond belief, or fewer bytes of samples than the header names

    """
    rate, samples, channels = file.samplerate, file.frames, file.channels
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"{shown(path)} claims a sampling rate of {rate} Hz; expected {RATES[0]} to {RATES[1]}: mend its header"
        )
    if samples > SECONDS * rate or samples * channels > SAMPLES:
        raise InputError(
            f"{shown(path)} claims {samples} samples of {channels} channels at {rate} Hz; expected at most"
            f" {SECONDS} s and {SAMPLES} samples in all: cut it, or mend its header"
        )
    # libsndfile takes a file that was cut off for a shorter one, and only logs it.
    for found in CUT.finditer(file.extra_info):
        claimed, there = map(int, found.groups())
        if there < claimed < STREAMED:
            raise InputError(
                f"{shown(path)} is cut short: it holds {there} of the {claimed} bytes that its header names;"
                " replace the file or leave it out"
            )


def _reason(error: Exception) -> str:
    """Return what went wrong without the path, which the message names already."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).rstrip(".")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def to_mono(
    wave: npt.NDArray[np.float32], rate: int, *, sampling_rate: int, downmix: str, resampler: str
) -> npt.NDArray[np.float32]:
    """Make one channel at ``sampling_rate``.

    Args:
        wave: (samples, channels)
        rate: sampling rate of ``wave``, Hz
        sampling_rate: the rate wanted, Hz
        downmix: ``"mean"`` of the channels; ``"interleave"`` takes left and right samples by turns as if they were one
            channel, at half the speed and an octave down: what the study's code does to its five stereo clips;
            ``"right"`` takes the second channel, and of one channel that one: for microphones that are no stereo
        resampler: ``"soxr"``; ``"linear"`` joins the samples by straight lines and filters nothing, so that what is
            above half the new rate folds down into the speech: what pydub does, on which the study relies. From
            48 to 16 kHz it takes every third sample

    Returns:
        (samples,)

    """
    resample = _linear if resampler == "linear" else _soxr
    if rate == sampling_rate:
        resample = _unchanged
    if wave.shape[1] == 1:
        return resample(wave[:, 0], rate, sampling_rate)
    if downmix == "mean":
        return resample(wave.mean(axis=1, dtype=np.float32), rate, sampling_rate)
    if downmix == "right":
        return resample(np.ascontiguousarray(wave[:, min(1, wave.shape[1] - 1)]), rate, sampling_rate)
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
