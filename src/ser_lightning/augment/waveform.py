"""Copies of a training clip with added noise and with shifted pitch, as in the study."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.clip_generator import clip_generator
from ser_lightning.augment.pitch import analyze, pitch_shift, torchaudio_kernel_bytes, torchaudio_shift
from ser_lightning.errors import InputError, check_value
from ser_lightning.kernels.backend import AUTO, NATIVE, resolve_backend
from ser_lightning.kernels.compile import KERNELS

LARGEST_KERNEL = 5e9  # bytes; building it takes four times as much


@dataclass(frozen=True, kw_only=True)
class WaveformCopies:
    """Noisy and pitch-shifted copies of a clip, which depend only on the clip, its id and the seed.

    Args:
        seed: seed of the noise, which depends only on the seed and the utterance id
        sampling_rate: rate of the waveforms, Hz
        noise_sigma: standard deviation of the Gaussian noise relative to full scale 1; None makes no noisy copy
        pitch_steps: pitch shift of each further copy, semitones
        pcm16: whether to round each copy to 16 bits and clip it at full scale, as the study did by saving it as a WAV
            file
        backend: of the pitch shift: ``native`` for the C kernels, ``torchaudio`` for the function that the study used,
            ``auto`` for native where the kernels are available

    Raises:
        InputError: a value is out of range, or a pitch shift needs too much memory in torchaudio

    """

    seed: int
    sampling_rate: int
    noise_sigma: float | None
    pitch_steps: Sequence[float]
    pcm16: bool
    backend: str = AUTO  # not a scientific setting

    def __post_init__(self) -> None:
        sigma, steps = self.noise_sigma, list(self.pitch_steps)
        valid = sigma is None or 0 < sigma < math.inf
        check_value("augment.noise_sigma", sigma, valid=valid, expected="a positive number, or null for none")
        valid = len(set(steps)) == len(steps) and all(0 < abs(step) <= 24 for step in steps)
        check_value("augment.pitch_steps", steps, valid=valid, expected="distinct semitones from -24 to 24 without 0")
        backend = resolve_backend(self.backend, reference="torchaudio", key="augment.backend")
        object.__setattr__(self, "backend", backend)
        if self.backend != NATIVE:
            for step in steps:
                size = torchaudio_kernel_bytes(sampling_rate=self.sampling_rate, steps=step)
                if size > LARGEST_KERNEL:
                    raise InputError(
                        f"augment.pitch_steps has {step:g}, for which torchaudio needs a resampling kernel of"
                        f" {size / 1e9:.0f} GB at {self.sampling_rate} Hz; use augment.backend=native (needs a C"
                        " compiler), a lower audio.sampling_rate or other steps"
                    )

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the copies, besides numpy."""
        if not self.pitch_steps:
            return ()
        return (KERNELS,) if self.backend == NATIVE else ("torch", "torchaudio")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the copies, in order."""
        noise = () if self.noise_sigma is None else ("noise",)
        return (*noise, *(f"pitch{steps:+g}" for steps in self.pitch_steps))

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the augmented copies of a clip by name, as long as ``wave`` (samples,); ``wave`` is not modified."""
        copies = []
        if self.noise_sigma is not None:
            generator = clip_generator(utterance, seed=self.seed)
            copies.append(wave + np.float32(self.noise_sigma) * generator.standard_normal(len(wave), dtype=np.float32))
        if self.pitch_steps and self.backend == NATIVE:
            analysis = analyze(wave)
            copies += [pitch_shift(analysis, sampling_rate=self.sampling_rate, steps=s) for s in self.pitch_steps]
        elif self.pitch_steps:
            copies += [torchaudio_shift(wave, sampling_rate=self.sampling_rate, steps=s) for s in self.pitch_steps]
        if self.pcm16:
            copies = [np.clip(np.round(copy * 32768), -32768, 32767) / np.float32(32768) for copy in copies]
        return dict(zip(self.names, copies, strict=True))
