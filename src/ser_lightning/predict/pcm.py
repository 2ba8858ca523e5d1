"""Read raw samples (PCM without a header) as they come."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.open_file import Sound
from ser_lightning.audio.sound import RATES, check_loudness
from ser_lightning.errors import InputError

FORMATS = {"s16le": ("<i2", 1 / 32768), "f32le": ("<f4", 1.0)}  # name -> type of a sample and its scale
BYTES = 2**16  # read at most at once


def read_pcm(file: IO[bytes], *, rate: int, sample_format: str, name: str) -> Sound:
    """Return one channel of raw samples, read as they come.

    Args:
        file: binary file or pipe
        rate: sampling rate, Hz
        sample_format: ``s16le`` or ``f32le``
        name: name of the file, for messages

    Raises:
        InputError: the rate or the format is unknown; later, the samples are not finite

    """
    if sample_format not in FORMATS:
        raise InputError(f"--sample-format is {sample_format!r}; expected one of {', '.join(FORMATS)}")
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"--sampling-rate is {rate} Hz; expected {RATES[0]} to {RATES[1]}")
    return Sound(rate, 1, _decode(_chunks(file), sample_format, name))


def waveform_sound(chunks: Iterable[npt.NDArray[np.floating]], *, rate: int) -> Sound:
    """Return the chunks (n,) of a waveform as a sound.

    Raises:
        InputError: later, a chunk is no vector of finite floating point numbers

    """
    return Sound(rate, 1, map(_checked, chunks))


def _checked(chunk: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    wave = np.asarray(chunk)
    if wave.ndim != 1 or not np.issubdtype(wave.dtype, np.floating):
        raise InputError(
            f"a chunk has shape {wave.shape} and type {wave.dtype}; expected samples (n,) of floating point numbers"
        )
    block = wave.astype(np.float32)[:, None]
    check_loudness(block, Path("the stream"))
    return block


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # read1 returns what is there instead of waiting for more
    while chunk := read(BYTES):
        yield chunk


def _decode(chunks: Iterable[bytes], sample_format: str, name: str) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks (n, 1); a chunk may end within a sample."""
    kind, scale = FORMATS[sample_format]
    size, incomplete = np.dtype(kind).itemsize, b""
    for chunk in chunks:
        data = incomplete + chunk
        whole = len(data) - len(data) % size
        incomplete = data[whole:]
        if whole:
            block = np.multiply(np.frombuffer(data[:whole], kind), np.float32(scale), dtype=np.float32)[:, None]
            check_loudness(block, Path(name))
            yield block
    if incomplete:
        raise InputError(f"{name} ends within a sample of {sample_format}; is it raw PCM of this format?")
