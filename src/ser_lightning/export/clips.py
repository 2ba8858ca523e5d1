"""Waveforms at ten lengths, on which an exported model is compared with its checkpoint."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SECONDS = (0.05, 0.2, 0.5, 1.0, 1.7, 2.5, 3.6, 5.0, 8.0, 17.0)  # the encoder divides clips of more than 8 s


def at_ten_lengths(waves: Sequence[Floats], *, rate: int) -> list[Floats]:
    """Return waveforms of the lengths in :data:`SECONDS`, cut out of the concatenated waves and repeated if necessary.

    Args:
        waves: (samples,) each, at least one sample in all
        rate: their sampling rate, Hz

    """
    source = np.concatenate(waves)
    starts = np.linspace(0, len(source), len(SECONDS), endpoint=False).astype(int)
    return [
        np.resize(np.roll(source, -start), round(seconds * rate))
        for start, seconds in zip(starts, SECONDS, strict=True)
    ]


def generated(*, rate: int) -> Floats:
    """Return ten seconds of vowel-like sounds with changing pitch, loudness and noise, the same in every call."""
    time = np.arange(10 * rate) / rate
    pitch = 150 + 60 * np.sin(2 * np.pi * 0.31 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formant = 900 + 500 * np.sin(2 * np.pi * 0.7 * time)
    voice = sum(np.sin(k * phase) * np.exp(-(((k * pitch - formant) / 400) ** 2)) for k in range(1, 20))
    loudness = 0.15 * (1 + np.sin(2 * np.pi * 1.3 * time))
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(time))
    wave: Floats = (loudness * voice + noise).astype(np.float32)
    return wave
