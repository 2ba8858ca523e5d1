"""Additive noise at signal-to-noise ratios in dB."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from ser_lightning.audio.folder import list_audio_files
from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.errors import check_value
from ser_lightning.robustness.condition import Condition, Floats, RecordingContext, add_noise, fit_length, power

SNR = "dB SNR"
LIMIT = 200.0  # dB


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Condition):
    """White Gaussian noise.

    Args:
        levels: signal-to-noise ratios of the whole recording, dB

    """

    unit = SNR
    least, most = -LIMIT, LIMIT

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave with noise."""
        return add_noise(wave, recording.generator.standard_normal(len(wave)), snr_db=level)


@dataclass(frozen=True, kw_only=True)
class Babble(Condition):
    """Recordings of other speakers of the corpus, equally loud and mixed.

    Args:
        levels: signal-to-noise ratios of the whole recording, dB
        talkers: number of recordings that are mixed

    """

    talkers: int
    unit = SNR
    least, most = -LIMIT, LIMIT

    def __post_init__(self) -> None:
        super().__post_init__()
        check_value("talkers of Babble", self.talkers, valid=self.talkers >= 1, expected="at least 1")

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave with babble."""
        babble = np.zeros(len(wave))
        for voice in recording.voices(self.talkers):
            babble += fit_length(voice, len(wave), recording.generator) / max(power(voice), 1e-12) ** 0.5
        return add_noise(wave, babble, snr_db=level)


@dataclass(frozen=True, kw_only=True)
class RecordedCondition(Condition):
    """A condition made of a random sound file of a folder; subclasses set ``remedy``.

    Args:
        folder: folder with sound files; None leaves the condition out

    Raises:
        InputError: the folder does not exist or has no sound file

    """

    folder: str | None

    remedy: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folder is not None:
            sound_files(self.folder)

    @property
    def missing(self) -> str:
        """Reason why the condition cannot be measured."""
        return f"no folder of {self.remedy}" if self.folder is None else ""

    def draw(self, recording: RecordingContext) -> Floats:
        """Return a random file of the folder as one channel (samples,) at the rate of the recording."""
        files = sound_files(str(self.folder))
        samples, rate = read_audio(files[int(recording.generator.integers(len(files)))])
        return to_mono(samples, rate, sampling_rate=recording.rate, downmix="mean", resampler="soxr")


@dataclass(frozen=True, kw_only=True)
class RecordedNoise(RecordedCondition):
    """A random part of a random file of a folder of noise recordings.

    Args:
        levels: signal-to-noise ratios of the whole recording, dB
        folder: folder with sound files; None leaves the condition out

    """

    unit = SNR
    least, most = -LIMIT, LIMIT
    remedy = "noise recordings; give --noise FOLDER"

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave with noise."""
        noise = fit_length(self.draw(recording), len(wave), recording.generator)
        return add_noise(wave, noise, snr_db=level)


@cache
def sound_files(folder: str) -> tuple[Path, ...]:
    """Return the sound files of a folder, sorted.

    Raises:
        InputError: the folder does not exist or has no sound file

    """
    return tuple(list_audio_files(Path(folder).expanduser())[0])
