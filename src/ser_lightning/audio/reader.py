"""Read audio files and convert them to one channel at one sampling rate."""

import os
import re
import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ser_lightning.errors import InputError, printable

DOWNMIXES = ("mean", "interleave", "right")
RESAMPLERS = ("soxr", "linear")
RATES = (4000, 768_000)  # Hz; resampling a short file from a lower claimed rate would need gigabytes
SECONDS, SAMPLES = 3600, 2**28  # samples of all channels, 1 GiB; a tiny compressed file can hold hours
LOUDEST = 2.0**31  # float files may use the integer scale; sums of squares must stay finite
CUT = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
STREAMED = 2**31 - 2**17  # streaming writers use sizes from here on as a placeholder for an unknown length


def read_audio(
    path: str | Path, *, start: float | None = None, end: float | None = None, channel: int | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read an audio file, or a segment of it, at its own sampling rate.

    Args:
        path: a file in any format that libsndfile supports (WAV, FLAC, AIFF, OGG, MP3, ...)
        start: start of the segment, seconds; None is the beginning of the file
        end: end of the segment, seconds; None is the end of the file
        channel: the only channel to read, counted from 0; None reads all channels

    Returns:
        The samples, (samples, channels), full scale 1; and the sampling rate in Hz.

    Raises:
        InputError: the path is not a regular audio file, or the file has no samples, implausibly many, fewer than its
            header claims, an implausible sampling rate, no such segment or channel, or samples that are NaN, infinite
            or absurdly large

    """
    path = Path(path)
    try:
        # Check the file type before opening: opening a FIFO would block forever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{printable(path)} is not a regular file; give an audio file")
        if status.st_size == 0:
            raise InputError(f"{printable(path)} is an empty file; replace the file or leave it out")
        path.open("rb").close()  # gives the reason for a failure, which libsndfile does not
        with soundfile.SoundFile(os.fsencode(path)) as file:  # a file name need not be valid text
            rate = int(file.samplerate)
            first = 0 if start is None else round(start * rate)
            last = file.frames if end is None else min(round(end * rate), file.frames)
            _check_header(file, path, samples=last - first)
            if not first < last and file.frames:
                raise InputError(
                    f"{printable(path)} lasts {file.frames / rate:.3f} s; expected a segment of it, got {start} to"
                    f" {end}"
                )
            if channel is not None and channel >= file.channels:
                raise InputError(
                    f"{printable(path)} has {file.channels} channels; expected a channel below that, got {channel}"
                )
            file.seek(first)
            wave, claimed = _samples(file, last - first), last - first
            if channel is not None:
                wave = np.ascontiguousarray(wave[:, channel : channel + 1])
    # soundfile raises RuntimeError or TypeError for a file that it assumes to be headerless.
    except (OSError, soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise InputError(
            f"cannot read {printable(path)} as audio: {_reason(error)}; replace the file or leave it out"
        ) from error
    if wave.shape[0] == 0:
        raise InputError(f"{printable(path)} contains no samples; replace the file or leave it out")
    if wave.shape[0] < claimed:
        raise InputError(
            f"{printable(path)} is truncated: it contains {wave.shape[0]} of the {claimed} samples that its header"
            " names; replace the file or leave it out"
        )
    loudest = max(wave.max(), -wave.min())
    if not loudest <= LOUDEST:  # this form is also true for NaN
        raise InputError(
            f"{printable(path)} contains samples that are NaN, infinite or beyond 32-bit integers ({loudest}), where"
            " full scale is 1; replace the file or leave it out"
        )
    return wave, rate


def _samples(file: soundfile.SoundFile, samples: int) -> npt.NDArray[np.float32]:
    """Read the next samples as float32, (samples, channels), full scale 1.

    16-bit files are read as integers and scaled here: faster than libsndfile's own conversion, with the same result.
    """
    if file.subtype == "PCM_16":
        levels: npt.NDArray[np.int16] = file.read(samples, dtype="int16", always_2d=True)
        return np.multiply(levels, np.float32(1 / 32768), dtype=np.float32)
    wave: npt.NDArray[np.float32] = file.read(samples, dtype="float32", always_2d=True)
    return wave


def _check_header(file: soundfile.SoundFile, path: Path, *, samples: int) -> None:
    """Check the rate and completeness that a header claims, and the number of samples to read, before reading.

    Raises:
        InputError: the rate or length is implausible, or the file has fewer bytes of samples than the header claims

    """
    rate, channels = file.samplerate, file.channels
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"{printable(path)} claims a sampling rate of {rate} Hz; expected {RATES[0]} to {RATES[1]}: fix its header"
        )
    if samples > SECONDS * rate or samples * channels > SAMPLES:
        raise InputError(
            f"{printable(path)} claims {samples} samples of {channels} channels at {rate} Hz; expected at most"
            f" {SECONDS} s and {SAMPLES} samples in all: cut it, or fix its header"
        )
    # libsndfile reads a truncated file as a shorter one and only logs the mismatch.
    for found in CUT.finditer(file.extra_info):
        claimed, there = map(int, found.groups())
        if there < claimed < STREAMED:
            raise InputError(
                f"{printable(path)} is truncated: it contains {there} of the {claimed} bytes that its header names;"
                " replace the file or leave it out"
            )


def _reason(error: Exception) -> str:
    """Return the reason of an error without the path, which the caller's message already contains."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).rstrip(".")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def to_mono(
    wave: npt.NDArray[np.float32], rate: int, *, sampling_rate: int, downmix: str, resampler: str
) -> npt.NDArray[np.float32]:
    """Mix down to one channel and resample to ``sampling_rate``.

    Args:
        wave: (samples, channels)
        rate: sampling rate of ``wave``, Hz
        sampling_rate: rate of the result, Hz
        downmix: ``"mean"`` averages the channels; ``"interleave"`` strings the samples of all channels together in
            turn, which makes stereo half as fast and an octave lower: a bug of the study's code that affects its five
            stereo clips; ``"right"`` keeps the second channel, for recordings whose channels are separate microphones.
            A single channel is kept as it is
        resampler: ``"soxr"``, or ``"linear"``, which interpolates linearly without an anti-aliasing filter, so that
            frequencies above half the new rate alias into the speech, as in pydub, which the study uses. From 48 to
            16 kHz it keeps every third sample

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
    # A clip of one or two samples can become empty, and no later step accepts an empty clip.
    return resampled if len(resampled) else wave[:1]


def _linear(wave: npt.NDArray[np.float32], rate: int, sampling_rate: int) -> npt.NDArray[np.float32]:
    samples = -(-len(wave) * sampling_rate // rate)
    position = np.arange(samples) * rate  # in units of 1 / sampling_rate input samples, so integer and exact
    before, part = np.divmod(position, sampling_rate)
    after = np.minimum(before + 1, len(wave) - 1)
    weight = (part / sampling_rate).astype(np.float32).reshape(-1, *[1] * (wave.ndim - 1))
    resampled: npt.NDArray[np.float32] = wave[before] + weight * (wave[after] - wave[before])
    return resampled
