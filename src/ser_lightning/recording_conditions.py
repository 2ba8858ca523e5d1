"""Conditions of recording: those of the training clips, and what makes a new recording unlike them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError

LOWEST_DB = -120.0  # level of digital silence, which has none in dB
FRAME_MS = 20
SPECTRUM = 4096  # samples per frame of the power spectrum
SMALLEST_PART = 1e-6  # -60 dB: power of a frequency, as a part of that of the strongest, from which it counts
QUANTILES = (1, 50, 99)  # percent
MEASURES = ("seconds", "rms_db", "snr_db", "highest_hz")
# How far beyond the first and the last percentile of the training clips a recording counts as unlike.
TIMES_LONGER = 1.5
DECIBELS = 6.0
NARROWER = 0.75


class Conditions(NamedTuple):
    """Conditions of one recording.

    Args:
        seconds: length
        sampling_rate: Hz
        rms_db: root mean square level, dBFS
        snr_db: estimated signal-to-noise ratio, dB: the level above that which 10 % of the 20 ms frames do not exceed
        highest_hz: highest frequency whose mean power is within 60 dB of the strongest one, Hz

    """

    seconds: float
    sampling_rate: int
    rms_db: float
    snr_db: float
    highest_hz: float


def measure_conditions(wave: npt.NDArray[np.float32], rate: int) -> Conditions:
    """Measure a recording: all but its length on its first minute.

    Args:
        wave: (samples,), full scale 1
        rate: sampling rate, Hz

    """
    seconds = len(wave) / rate
    wave = np.ascontiguousarray(wave[: 60 * rate], dtype=np.float32)
    level = float(levels_db(wave[np.newaxis])[0])
    floor = float(np.percentile(levels_db(whole_frames(wave, rate * FRAME_MS // 1000)), 10))
    power = power_spectrum(wave)
    highest = np.flatnonzero(power >= SMALLEST_PART * power.max())[-1]
    return Conditions(seconds, rate, level, level - floor, float(highest) * rate / SPECTRUM)


def whole_frames(wave: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Return the whole frames (frames, size) of a wave (samples,); a wave shorter than one is padded with zeros."""
    padded = np.pad(wave, (0, max(0, size - len(wave))))
    return padded[: len(padded) // size * size].reshape(-1, size)


def levels_db(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the level of each frame (frames, size), dBFS."""
    power = np.einsum("fs,fs->f", frames, frames).astype(np.float64) / frames.shape[1]
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (LOWEST_DB / 10)))
    return levels


def power_spectrum(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the power of each frequency, summed over frames of 4096 samples, (2049,)."""
    try:
        from scipy.fft import rfft  # numpy's takes eight times as long in single precision
    except ModuleNotFoundError:  # an environment that only predicts with an ONNX file
        from numpy.fft import rfft
    frames = whole_frames(wave, SPECTRUM) * np.hanning(SPECTRUM).astype(np.float32)
    parts = rfft(frames).view(np.float32)  # real and imaginary parts in turn
    power: npt.NDArray[np.float32] = np.einsum("fb,fb->b", parts, parts).reshape(-1, 2).sum(axis=1)
    return power


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """Conditions of the training clips of a model.

    Args:
        clips: number of clips measured
        model_rate: sampling rate of the waveforms that the model takes, Hz
        sampling_rates: sampling rate, Hz -> number of clips
        quantiles: measure -> quantile (``p1``, ``p50``, ``p99``) -> value, for seconds, rms_db, snr_db and highest_hz

    """

    clips: int
    model_rate: int
    sampling_rates: Mapping[str, int]
    quantiles: Mapping[str, Mapping[str, float]]

    @classmethod
    def from_plain(cls, values: Any) -> Self:
        """Return the training data that a checkpoint stores.

        Raises:
            InputError: a value is missing or not finite

        """
        try:
            read = cls(
                clips=int(values["clips"]),
                model_rate=int(values["model_rate"]),
                sampling_rates={str(int(rate)): int(count) for rate, count in values["sampling_rates"].items()},
                quantiles={
                    measure: {f"p{q}": float(values["quantiles"][measure][f"p{q}"]) for q in QUANTILES}
                    for measure in MEASURES
                },
            )
            if not all(math.isfinite(value) for quantiles in read.quantiles.values() for value in quantiles.values()):
                raise ValueError("a quantile is not finite")
            if not read.sampling_rates:
                raise ValueError("there is no sampling rate")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the training data are damaged: {error!r}; train the run again") from error
        return read

    def as_plain(self) -> dict[str, Any]:
        """Return the values as plain types."""
        return asdict(self)


def summarize_conditions(clips: Sequence[Conditions], *, model_rate: int) -> TrainingData:
    """Summarize the conditions of the training clips, at least one."""
    values = {measure: [getattr(clip, measure) for clip in clips] for measure in MEASURES}
    rates = Counter(clip.sampling_rate for clip in clips)
    return TrainingData(
        clips=len(clips),
        model_rate=model_rate,
        sampling_rates={str(rate): rates[rate] for rate in sorted(rates)},
        quantiles={
            measure: {
                f"p{q}": float(value) for q, value in zip(QUANTILES, np.percentile(measured, QUANTILES), strict=True)
            }
            for measure, measured in values.items()
        },
    )


def unlike(training_data: TrainingData, conditions: Conditions, *, whole: bool) -> tuple[str, ...]:
    """Return a warning for each condition in which a recording is unlike the training clips.

    Args:
        training_data: conditions of the training clips
        conditions: conditions of the recording
        whole: whether it is a whole recording; the length of a part follows from how the recording was divided, and its
            noise was cut off with the pauses, so that neither is compared

    """
    return tuple(_warnings(training_data, conditions, whole=whole))


def _warnings(training_data: TrainingData, conditions: Conditions, *, whole: bool) -> Iterator[str]:
    low, high = _range(training_data, "seconds")
    if whole and not low / TIMES_LONGER <= conditions.seconds <= high * TIMES_LONGER:
        yield f"lasts {conditions.seconds:.1f} s, training clips {low:.1f} to {high:.1f} s"
    low, high = _range(training_data, "rms_db")
    if not low - DECIBELS <= conditions.rms_db <= high + DECIBELS:
        yield f"level {conditions.rms_db:.0f} dBFS, training clips {low:.0f} to {high:.0f} dBFS"
    low, high = _range(training_data, "snr_db")
    if whole and conditions.snr_db < low - DECIBELS:
        yield f"signal-to-noise ratio {conditions.snr_db:.0f} dB, training clips {low:.0f} to {high:.0f} dB"
    # Frequencies above half of the sampling rate of the model do not reach it.
    low, high = (min(value, training_data.model_rate / 2) for value in _range(training_data, "highest_hz"))
    lowest_rate = min(map(int, training_data.sampling_rates))
    if conditions.sampling_rate < min(training_data.model_rate, lowest_rate):
        yield f"recorded at {conditions.sampling_rate} Hz, training clips at {lowest_rate} Hz or more"
    elif conditions.highest_hz < NARROWER * low:
        highest = conditions.highest_hz / 1000
        yield f"no sound above {highest:.1f} kHz, training clips up to {low / 1000:.1f} kHz or more"


def _range(training_data: TrainingData, measure: str) -> tuple[float, float]:
    """Return the first and the last percentile of a measure over the training clips."""
    quantiles = training_data.quantiles[measure]
    return quantiles["p1"], quantiles["p99"]
