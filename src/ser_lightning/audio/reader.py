"""Read audio files and convert them to one channel at one sampling rate."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ser_lightning.audio.sound import (
    SAMPLES,
    SECONDS,
    UNREADABLE,
    check_file,
    check_header,
    check_loudness,
    damage_of_ogg,
    decoded_by_ffmpeg,
    open_sound,
    read_samples,
    unreadable,
)
from ser_lightning.errors import InputError, printable

DOWNMIXES = ("mean", "interleave", "right")
RESAMPLERS = ("soxr", "linear")


class FilePart(TypedDict, total=False):
    """The part of a file to read; an absent value is the same as None.

    Args:
        start: start of the segment, seconds; None is the beginning of the file
        end: end of the segment, seconds; None is the end of the file
        channel: the only channel to read, counted from 0; None reads all channels

    """

    start: float | None
    end: float | None
    channel: int | None


def read_audio(
    path: str | Path, *, start: float | None = None, end: float | None = None, channel: int | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read an audio file, or a segment of it, at its own sampling rate.

    Args:
        path: a file in any format that libsndfile supports (WAV, FLAC, AIFF, OGG, MP3, ...), or that FFmpeg decodes, by
            its ending
        start: start of the segment, seconds; None is the beginning of the file
        end: end of the segment, seconds; None is the end of the file
        channel: the only channel to read, counted from 0; None reads all channels

    Returns:
        The samples, (samples, channels), full scale 1; and the sampling rate in Hz.

    Raises:
        InputError: the path is not a regular audio file, or the file has no samples, implausibly many, fewer than its
            header claims, damage, an implausible sampling rate, no such segment or channel, or samples that are NaN,
            infinite or absurdly large; or FFmpeg is needed and not installed

    """
    path = Path(path)
    if decoded_by_ffmpeg(path):
        return _read_decoded(path, start=start, end=end, channel=channel)
    check_file(path)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:  # a file name need not be valid text
            rate = int(file.samplerate)
            first = 0 if start is None else round(start * rate)
            last = file.frames if end is None else min(round(end * rate), file.frames)
            check_header(file, path, samples=last - first, seconds=SECONDS, most=SAMPLES)
            if not first < last and file.frames:
                raise _no_segment(path, file.frames / rate, start, end)
            _check_channel(path, file.channels, channel)
            file.seek(first)
            wave, claimed = read_samples(file, last - first), last - first
            _check_intact(path, damage_of_ogg(file, path))
            if channel is not None:
                wave = np.ascontiguousarray(wave[:, channel : channel + 1])
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    if wave.shape[0] == 0:
        raise InputError(f"{printable(path)} contains no samples; replace the file or leave it out")
    if wave.shape[0] < claimed:
        raise InputError(
            f"{printable(path)} is truncated: it contains {wave.shape[0]} of the {claimed} samples that its header"
            " names; replace the file or leave it out"
        )
    check_loudness(wave, path)
    return wave, rate


def _read_decoded(
    path: Path, *, start: float | None, end: float | None, channel: int | None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read a file, or a segment of it, that FFmpeg decodes."""
    with open_sound(path) as sound:
        _check_channel(path, sound.channels, channel)
        columns = slice(None) if channel is None else slice(channel, channel + 1)
        blocks = [block[:, columns] for block in _limited(sound.blocks, path, rate=sound.rate)]
        _check_intact(path, sound.damage)
    wave = np.concatenate(blocks)
    first, last = round((start or 0) * sound.rate), len(wave) if end is None else round(end * sound.rate)
    if not len(wave[first:last]):
        raise _no_segment(path, len(wave) / sound.rate, start, end)
    return np.ascontiguousarray(wave[first:last]), sound.rate


def _limited(blocks: Iterator[npt.NDArray[np.float32]], path: Path, *, rate: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks as long as they fit into memory.

    Raises:
        InputError: there are more samples than that

    """
    samples = 0
    for block in blocks:
        samples += len(block)
        if samples > SECONDS * rate or samples * block.shape[1] > SAMPLES:
            raise InputError(
                f"{printable(path)} lasts more than {samples // rate} s; expected at most {SECONDS} s and {SAMPLES}"
                " samples in all: cut it"
            )
        yield block


def _check_intact(path: Path, damage: Sequence[str]) -> None:
    if damage:
        raise InputError(
            f"{printable(path)} is damaged ({damage[0]}); replace the file, convert it to WAV if nothing is missing, or"
            " leave it out"
        )


def _check_channel(path: Path, channels: int, channel: int | None) -> None:
    if channel is not None and channel >= channels:
        raise InputError(f"{printable(path)} has {channels} channels; expected a channel below that, got {channel}")


def _no_segment(path: Path, seconds: float, start: float | None, end: float | None) -> InputError:
    return InputError(f"{printable(path)} lasts {seconds:.3f} s; expected a segment of it, got {start} to {end}")


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
