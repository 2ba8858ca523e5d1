"""Choose the channels of new recordings."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError

Floats = npt.NDArray[np.float32]
MEAN, EACH, SIDES = "mean", "each", ("left", "right")
MOST_GAIN = 100.0  # 40 dB; more would lift the noise of a silent recording
CANCELED = 0.1  # share of the energy that the mean of unrelated channels would have


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel to predict.

    Args:
        name: ``mono``, ``mean``, ``left``, ``right`` or its number, counted from 1
        index: index of the channel; None is the mean of all
        warnings: what makes its predictions doubtful, such as why it was chosen
        gain: factor of the samples

    """

    name: str
    index: int | None
    warnings: tuple[str, ...] = ()
    gain: float = 1.0

    def of(self, wave: Floats) -> Floats:
        """Return this channel (samples,) of a waveform (samples, channels)."""
        mono = wave.mean(axis=1, dtype=np.float32) if self.index is None else np.ascontiguousarray(wave[:, self.index])
        return mono if self.gain == 1 else mono * np.float32(self.gain)


@dataclass
class Levels:
    """Energies of the channels of a recording and of their mean, summed up block by block."""

    channels: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    mean: float = 0.0

    def add(self, wave: Floats) -> Self:
        """Add a block (samples, channels)."""
        self.channels = self.channels + np.einsum("nc,nc->c", wave, wave, dtype=np.float64)
        self.mean += float(np.square(wave.mean(axis=1), dtype=np.float64).sum())
        return self

    def gain(self, index: int | None, *, samples: int, rms_db: float) -> float:
        """Return the factor that gives a channel, or the mean, a level.

        Args:
            index: index of the channel; None is the mean of all
            samples: number of samples of a channel
            rms_db: root mean square level, dBFS

        """
        energy = self.mean if index is None else float(self.channels[index])
        if not energy:
            return 1.0
        return min(MOST_GAIN, 10 ** (rms_db / 20) / math.sqrt(energy / samples))

    @property
    def cancel(self) -> bool:
        """Whether the channels cancel in their mean."""
        unrelated = self.channels.sum() / len(self.channels) ** 2
        return bool(self.mean < CANCELED * unrelated)


def check_channels(choice: str) -> None:
    """Check the value of ``--channels``.

    Raises:
        InputError: it is none of the choices

    """
    if choice not in (MEAN, EACH, *SIDES) and not (choice.isascii() and choice.isdigit() and int(choice)):
        raise InputError(
            f"--channels is {choice!r}; expected mean, left, right, each, or the number of a channel, counted from 1"
        )


def choose_channels(choice: str, levels: Levels, *, path: str) -> list[Channel]:
    """Return the channels of a recording to predict.

    Args:
        choice: ``mean``, ``left``, ``right``, ``each`` or the number of a channel, counted from 1
        levels: energies of the channels, needed for ``mean``
        path: the recording, for messages

    Raises:
        InputError: the recording has no such channel

    """
    names = SIDES if len(levels.channels) == 2 else tuple(str(n + 1) for n in range(len(levels.channels)))
    if len(names) == 1 and choice in (MEAN, EACH, "left", "1"):
        return [Channel("mono", 0)]
    if choice == EACH:
        return [Channel(name, index) for index, name in enumerate(names)]
    if choice == MEAN and levels.cancel:
        loudest = int(levels.channels.argmax())
        return [Channel(names[loudest], loudest, (f"channels cancel in their mean, {names[loudest]} is used",))]
    if choice == MEAN:
        return [Channel(MEAN, None)]
    index = SIDES.index(choice) if choice in SIDES else int(choice) - 1
    if index >= len(names):
        count = f"{len(names)} channel{'s' if len(names) > 1 else ''}"
        raise InputError(f"{path} has {count}; expected a channel of it, got --channels {choice}")
    return [Channel(names[index], index)]
