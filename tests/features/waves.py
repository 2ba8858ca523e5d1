"""Edge-case waves at 16 kHz for the tests of features."""

from typing import Any

import numpy as np

from ser_lightning.features import stft

RATE = 16000


def _odd_waves() -> dict[str, Any]:
    noise = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    pulses = np.zeros(RATE)
    pulses[:: RATE // 125] = 1  # a voice of 125 Hz with two formants
    vowel = pulses
    for formant in (700, 1200):
        pole = 0.98 * np.exp(2j * np.pi * formant / RATE)
        ring = (pole ** np.arange(400)).real
        vowel = np.convolve(vowel, ring)[:RATE]
    waves = {
        "silence": np.zeros(RATE),
        "impulse": np.eye(1, RATE, 5000)[0],
        "one_sample": np.array([0.5]),
        "ten_samples": noise.standard_normal(10),
        "less_than_a_frame": noise.standard_normal(1500),
        "a_frame": noise.standard_normal(2048),
        "a_hop_less_one": noise.standard_normal(5 * 512 - 1),
        "hops": noise.standard_normal(5 * 512),
        "clipped": np.clip(3 * np.sin(2 * np.pi * 331 * time), -1, 1),
        "dc": np.full(RATE, 0.3),
        "white_noise": noise.standard_normal(RATE),
        "chirp": np.sin(2 * np.pi * (100 + 3000 * time) * time),
        "vowel": vowel / np.abs(vowel).max(),
        "half_silent": np.concatenate((np.zeros(RATE // 2), np.sin(2 * np.pi * 440 * time))),
        "faint": 1e-6 * noise.standard_normal(RATE),
        "loud": 1e6 * noise.standard_normal(RATE),
        "more_than_a_block": noise.standard_normal(512 * 3 * stft.BLOCK),
    }
    waves = {name: wave.astype(np.float32) for name, wave in waves.items()}
    for wave in waves.values():
        wave.setflags(write=False)  # no extractor may modify its input
    return waves


WAVES = _odd_waves()
FEW_WAVES = ("silence", "one_sample", "less_than_a_frame", "vowel", "white_noise", "loud")
