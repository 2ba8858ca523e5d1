"""Limited bandwidth and lossy codecs."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile
import soxr
from scipy import signal

from ser_lightning.errors import InputError, check_value
from ser_lightning.robustness.condition import Condition, Floats, RecordingContext, check_levels


@dataclass(frozen=True, kw_only=True)
class Band(Condition):
    """A channel that passes only a band of frequencies, by a Butterworth filter.

    Args:
        levels: upper cutoff frequencies (-3 dB), Hz; one above half the sampling rate has no effect
        low_hz: lower cutoff frequency, Hz; None passes low frequencies
        order: order of the filter

    """

    low_hz: float | None
    order: int
    unit = "Hz upper cutoff"

    def __post_init__(self) -> None:
        check_levels(self, self.levels, least=(self.low_hz or 0) + 1, most=1e6)
        valid = self.low_hz is None or self.low_hz > 0
        check_value("low_hz of Band", self.low_hz, valid=valid, expected="a positive number or null")
        check_value("order of Band", self.order, valid=1 <= self.order <= 20, expected="a number from 1 to 20")

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the filtered wave."""
        nyquist = recording.rate / 2
        for edge, kind in ((self.low_hz, "highpass"), (level, "lowpass")):
            if edge is not None and edge < nyquist:
                sections = signal.butter(self.order, edge / nyquist, kind, output="sos")
                wave = signal.sosfilt(sections, wave).astype(np.float32)
        return wave


class CodecFormat(NamedTuple):
    """Container, encoding and bit rates with which libsndfile writes a codec.

    Args:
        format: container
        subtype: encoding
        rate: sampling rate of the encoded sound, Hz
        kbits: bit rates without and with full compression, kbit/s; equal for a codec with one bit rate

    """

    format: str
    subtype: str
    rate: int
    kbits: tuple[float, float]


# libsndfile maps its compression level linearly to the bit rate, from the first to the second of these.
CODECS: Mapping[str, CodecFormat] = {
    "mu-law": CodecFormat("WAV", "ULAW", 8000, (64, 64)),
    "gsm": CodecFormat("WAV", "GSM610", 8000, (13, 13)),
    "mp3": CodecFormat("MP3", "MPEG_LAYER_III", 16000, (160, 8)),
    "opus": CodecFormat("OGG", "OPUS", 16000, (256, 6)),
}


@dataclass(frozen=True, kw_only=True)
class Codec(Condition):
    """A lossy codec, as libsndfile writes and reads it, at the sampling rate of the codec.

    Args:
        levels: bit rates, kbit/s; mu-law has only 64, and GSM (06.10) only 13
        codec: mu-law, gsm, mp3 or opus

    """

    codec: Literal["mu-law", "gsm", "mp3", "opus"]
    unit = "kbit/s"

    def __post_init__(self) -> None:
        most, least = CODECS[self.codec].kbits
        check_levels(self, self.levels, least=least, most=most)

    @property
    def missing(self) -> str:
        """Reason why the condition cannot be measured."""
        codec = CODECS[self.codec]
        writable = codec.format in soundfile.available_formats() and soundfile.check_format(codec.format, codec.subtype)
        return "" if writable else f"libsndfile {soundfile.__libsndfile_version__} does not write {self.codec}"

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave after encoding and decoding, with its length."""
        codec = CODECS[self.codec]
        most, least = codec.kbits
        options: dict[str, Any] = {}
        if most > least:  # libsndfile refuses full compression of MP3
            options = {"compression_level": min((most - level) / (most - least), 0.999)}
        if self.codec == "mp3":
            options["bitrate_mode"] = "CONSTANT"
        file = io.BytesIO()
        narrow = np.clip(_resample(wave, recording.rate, codec.rate), -1, 1)
        try:
            soundfile.write(file, narrow, codec.rate, format=codec.format, subtype=codec.subtype, **options)
            decoded, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.codec} at {level:g} kbit/s cannot be written: {error}") from error
        wide = _resample(decoded, codec.rate, recording.rate)[: len(wave)]
        return np.pad(wide, (0, len(wave) - len(wide)))


def _resample(wave: Floats, rate: int, target: int) -> Floats:
    resampled: Floats = soxr.resample(wave, rate, target) if rate != target else wave
    return resampled
