"""Open audio files of any length and read them in blocks."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from ser_lightning.audio.ffmpeg import open_ffmpeg
from ser_lightning.audio.open_file import Sound
from ser_lightning.audio_endings import FFMPEG
from ser_lightning.errors import InputError, printable

RATES = (4000, 768_000)  # Hz; resampling a short file from a lower claimed rate would need gigabytes
SECONDS, SAMPLES = 3600, 2**28  # read at once; samples of all channels, 1 GiB; a tiny compressed file can hold hours
HOURS = 24  # read in blocks
BLOCK = 2**16  # samples of a channel in a block
LOUDEST = 2.0**31  # float files may use the integer scale; sums of squares must stay finite
CUT = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
STREAMED = 2**31 - 2**17  # streaming writers use sizes from here on as a placeholder for an unknown length
OGG_PAGE = 2**16  # bytes of a page, at most
OGG_END = 4  # flag of the last page
LFS_POINTER = b"version https://git-lfs"  # start of the file that stands in for audio that git-lfs has not fetched
# soundfile raises RuntimeError or TypeError for a file that it assumes to be headerless.
UNREADABLE = (OSError, soundfile.SoundFileError, RuntimeError, TypeError)


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from start to end.

    SoundFile seeks after each read, which damages the next samples of MP3 and Opus files:
    https://github.com/libsndfile/libsndfile/issues/794
    """

    def seekable(self) -> bool:
        """Return False, so that SoundFile does not seek."""
        return False


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """Open an audio file to read it in blocks, of which each is checked when it is read.

    Raises:
        InputError: an error of :func:`~ser_lightning.audio.reader.read_audio`, whose limits are for a file that is read
            at once; at most 24 hours are read in blocks

    """
    check_file(path)
    if decoded_by_ffmpeg(path):
        with open_ffmpeg(path) as decoded:
            _check_rate(decoded.rate, path)
            yield replace(decoded, blocks=_checked(decoded.blocks, path, rate=decoded.rate))
        return
    try:
        file = _Sequential(os.fsencode(path))  # a file name need not be valid text
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    with file:
        check_header(file, path, samples=file.frames, seconds=HOURS * 3600, most=None)
        blocks = _checked(_blocks(file, path), path, rate=file.samplerate)
        yield Sound(int(file.samplerate), file.channels, blocks, damage_of_ogg(file, path))


def damage_of_ogg(file: soundfile.SoundFile, path: Path) -> list[str]:
    """Return that the end is missing, if the last page of an Ogg file is not marked as the end of its stream.

    Source: RFC 3533, section 6
    """
    if file.format != "OGG":
        return []
    with path.open("rb") as raw:
        raw.seek(max(0, path.stat().st_size - 2 * OGG_PAGE))
        content = raw.read()
    start = content.rfind(b"OggS")
    ends = start >= 0 and len(content) > start + 5 and content[start + 5] & OGG_END
    return [] if ends else ["the end of the Ogg stream is missing"]


def decoded_by_ffmpeg(path: Path) -> bool:
    """Return whether a file is decoded by FFmpeg, by its ending."""
    return path.suffix.lower() in FFMPEG


def _blocks(file: soundfile.SoundFile, path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples of a file in blocks.

    Raises:
        InputError: the file cannot be read, or has fewer samples than its header claims

    """
    samples = 0
    while samples < file.frames:
        try:
            wave = read_samples(file, BLOCK)
        except UNREADABLE as error:
            raise unreadable(path, error) from error
        if not len(wave):
            raise InputError(
                f"{printable(path)} is truncated: it contains {samples} of the {file.frames} samples that its header"
                " names; replace the file or leave it out"
            )
        samples += len(wave)
        yield wave


def _checked(blocks: Iterator[npt.NDArray[np.float32]], path: Path, *, rate: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks after checking their samples.

    Raises:
        InputError: there is no sample, there are more than 24 hours, or samples are not finite

    """
    samples = 0
    for block in blocks:
        samples += len(block)
        if samples > HOURS * 3600 * rate:
            raise InputError(f"{printable(path)} lasts more than {HOURS} hours; cut it")
        check_loudness(block, path)
        yield block
    if not samples:
        raise InputError(f"{printable(path)} contains no samples; replace the file or leave it out")


def check_file(path: Path) -> None:
    """Check that a path is a regular file with content that can be read, without decoding it.

    Raises:
        InputError: it is missing, not a regular file, empty, a pointer of git-lfs, or cannot be read

    """
    try:
        # Check the file type before opening: opening a FIFO would block forever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{printable(path)} is not a regular file; give an audio file")
        if status.st_size == 0:
            raise InputError(f"{printable(path)} is an empty file; replace the file or leave it out")
        with path.open("rb") as file:  # gives the reason for a failure, which libsndfile does not
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        raise unreadable(path, error) from error
    if start == LFS_POINTER:
        raise InputError(
            f"{printable(path)} is a pointer of git-lfs, not the recording; fetch the recording with git lfs pull"
        )


def read_samples(file: soundfile.SoundFile, samples: int) -> npt.NDArray[np.float32]:
    """Read the next samples as float32, (samples, channels), full scale 1.

    16-bit files are read as integers and scaled here: faster than libsndfile's own conversion, with the same result.
    """
    if file.subtype == "PCM_16":
        levels: npt.NDArray[np.int16] = file.read(samples, dtype="int16", always_2d=True)
        return np.multiply(levels, np.float32(1 / 32768), dtype=np.float32)
    wave: npt.NDArray[np.float32] = file.read(samples, dtype="float32", always_2d=True)
    return wave


def check_header(file: soundfile.SoundFile, path: Path, *, samples: int, seconds: int, most: int | None) -> None:
    """Check the rate and completeness that a header claims, and the number of samples to read, before reading.

    Args:
        file: the open file
        path: its path, for messages
        samples: number of samples to read, per channel
        seconds: greatest length to read
        most: greatest number of samples to read, of all channels; None for no limit

    Raises:
        InputError: the rate or length is implausible, or the file has fewer bytes of samples than the header claims

    """
    rate, channels = file.samplerate, file.channels
    _check_rate(rate, path)
    if samples > seconds * rate or (most is not None and samples * channels > most):
        also = "" if most is None else f" and {most} samples in all"
        raise InputError(
            f"{printable(path)} claims {samples} samples of {channels} channels at {rate} Hz; expected at most"
            f" {seconds} s{also}: cut it, or fix its header"
        )
    # libsndfile reads a truncated file as a shorter one and only logs the mismatch.
    for match in CUT.finditer(file.extra_info):
        claimed, there = map(int, match.groups())
        if there < claimed < STREAMED:
            raise InputError(
                f"{printable(path)} is truncated: it contains {there} of the {claimed} bytes that its header names;"
                " replace the file or leave it out"
            )


def _check_rate(rate: int, path: Path) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"{printable(path)} claims a sampling rate of {rate} Hz; expected {RATES[0]} to {RATES[1]}: fix its header"
        )


def check_loudness(wave: npt.NDArray[np.float32], path: Path) -> None:
    """Check that samples are finite and of a plausible size.

    Raises:
        InputError: they are not

    """
    loudest = max(wave.max(initial=0.0), -wave.min(initial=0.0))
    if not loudest <= LOUDEST:  # this form is also true for NaN
        raise InputError(
            f"{printable(path)} contains samples that are NaN, infinite or beyond 32-bit integers ({loudest}), where"
            " full scale is 1; replace the file or leave it out"
        )


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error for a file that could not be read, with the reason but without the path that it may repeat."""
    if isinstance(error, soundfile.LibsndfileError):
        reason = str(error.error_string).rstrip(".")
    else:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"cannot read {printable(path)} as audio: {reason}; replace the file or leave it out")
