"""Decode the sound of files that libsndfile cannot read, through FFmpeg in a process of its own."""

import os
import select
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.open_file import Sound
from ser_lightning.errors import InputError, printable

WAIT_S = 300.0  # total time to wait for output; decoding an hour of sound takes seconds
STREAMS = 64  # most streams of a file
BLOCK = 2**18  # bytes to read at once
# The demuxers of the endings in audio_endings.FFMPEG. Playlists, which name other files and hosts, are not among them.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,asf,amr,amrnb,amrwb,avi,flv,wav,mp3,ogg,flac"
AU = struct.Struct(">4sIIIII")  # magic, offset of the samples, their size, encoding, sampling rate, channels
MESSAGES = 10_000  # bytes of FFmpeg's messages to read
FLOAT = 6  # encoding of 32-bit floats in an AU file


@contextmanager
def open_ffmpeg(path: Path) -> Iterator[Sound]:
    """Decode the first audio stream of a file.

    Raises:
        InputError: FFmpeg is not installed, cannot decode the file, or takes too long

    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise InputError(
            f"{printable(path)} needs FFmpeg, which is not installed; install it (such as apt install ffmpeg), or"
            " convert the file to WAV or FLAC"
        )
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments, without a shell
            command(program, path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        )
        try:
            output = _Output(process, messages, path)
            header = output.read(AU.size)
            if len(header) < AU.size:
                output.check_end()
                raise InputError(f"{printable(path)} contains no samples; replace the file or leave it out")
            _, offset, _, encoding, rate, channels = AU.unpack(header)
            output.read(offset - AU.size)
            if encoding != FLOAT or not channels or not rate:
                raise InputError(f"{printable(path)} cannot be decoded: unexpected output of FFmpeg; convert it to WAV")
            yield Sound(rate, channels, output.blocks(channels), output.damage)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


def command(program: str, path: Path) -> list[str]:
    """Return the command line that decodes a file to an AU stream of 32-bit floats on standard output."""
    # "file:" keeps a name from being read as an option, a protocol or a pattern.
    source = b"file:" + os.fsencode(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links
    quiet = ("-nostdin", "-hide_banner", "-v", "error", "-threads", "1")
    limits = ("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-max_streams", str(STREAMS))
    # async=1 fills frames that cannot be decoded with silence, so that the times of what follows stay right.
    sound = ("-map", "0:a:0", "-vn", "-sn", "-dn", "-af", "aresample=async=1")
    result = ("-f", "au", "-c:a", "pcm_f32be", "pipe:1")
    return [program, *quiet, *limits, "-i", os.fsdecode(source), *sound, *result]


class _Output:
    """The output of a process, read with a time limit."""

    def __init__(self, process: "subprocess.Popen[bytes]", messages: IO[bytes], path: Path) -> None:
        self.process = process
        self.messages = messages
        self.path = path
        self.waited = 0.0
        self.damage: list[str] = []

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, or less at the end.

        Raises:
            InputError: the process takes too long

        """
        pipe, content = self.process.stdout, bytearray()
        assert pipe is not None  # noqa: S101 - it was opened as a pipe
        while len(content) < size:
            start = time.monotonic()
            ready, _, _ = select.select([pipe], [], [], max(0.0, WAIT_S - self.waited))
            self.waited += time.monotonic() - start
            if not ready:
                raise InputError(
                    f"{printable(self.path)} takes FFmpeg more than {WAIT_S:.0f} s to decode; convert it to WAV, or"
                    " leave it out"
                )
            part = os.read(pipe.fileno(), size - len(content))
            if not part:
                break
            content += part
        return bytes(content)

    def blocks(self, channels: int) -> Iterator[npt.NDArray[np.float32]]:
        """Yield blocks of samples (n, channels) until the end.

        Raises:
            InputError: the file is damaged, or the process takes too long

        """
        size = 4 * channels
        while content := self.read(max(1, BLOCK // size) * size):
            whole = len(content) // size * size
            yield np.frombuffer(content[:whole], dtype=">f4").astype(np.float32).reshape(-1, channels)
        self.check_end()

    def check_end(self) -> None:
        """Check that the process has succeeded, and note the damage that it names.

        Raises:
            InputError: it has failed

        """
        failed = self.process.wait() != 0
        self.messages.seek(0)
        text = self.messages.read(MESSAGES).decode("utf-8", "replace").strip()
        if not failed and not text:
            return
        if "matches no streams" in text:
            raise InputError(f"{printable(self.path)} holds no sound; leave it out")
        reason = _last_reason(text)
        if not failed:
            self.damage.append(f"FFmpeg: {reason}")
            return
        raise InputError(
            f"cannot read {printable(self.path)} as audio: FFmpeg: {reason}; replace the file or leave it out"
        )


def _last_reason(messages: str) -> str:
    """Return the last message of FFmpeg without the names of its parts."""
    lines = messages.splitlines()
    if len(messages) >= MESSAGES - 1:
        lines.pop()  # only the beginning of it was read
    lines = [line for line in lines if "Last message repeated" not in line] or ["no reason given"]
    return printable(lines[-1].rpartition(": ")[2].rpartition("] ")[2])
