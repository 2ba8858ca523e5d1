"""Features of a waveform as modules of torch that can be exported to ONNX."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ser_lightning.export.chroma import Chroma
from ser_lightning.export.encoder import SmartTurnStates
from ser_lightning.export.spectra import Cepstrum, MelBands, Spectrum, decibels, size_of
from ser_lightning.export.statistics import summarize
from ser_lightning.features.cepstra import Cepstra
from ser_lightning.features.encoders.encoder import SmartTurn
from ser_lightning.features.extractor import FeatureExtractor
from ser_lightning.features.functionals import Functionals
from ser_lightning.features.logmel_deltas import LogMelDeltas
from ser_lightning.features.mel import LogMel
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.features.spectrogram import Spectrogram

CROSSING = -1e-10  # values above it count as positive, as in the kernels


class LogMelFrontEnd(nn.Module):
    """Log-mel bands, (samples,) -> (K, n_mels)."""

    def __init__(self, features: LogMel) -> None:
        super().__init__()
        self.spectrum = Spectrum(features.stft)
        self.mel = MelBands(sampling_rate=features.analysis_rate, n_fft=features.n_fft, n_mels=features.n_mels)

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        return decibels(self.mel(self.spectrum(self.spectrum.frames(wave)).square()))


class LogMelDeltasFrontEnd(LogMelFrontEnd):
    """Log-mel bands with deltas and delta-deltas, (samples,) -> (K, 3 n_mels)."""

    def __init__(self, features: LogMelDeltas) -> None:
        super().__init__(features)
        self.width = features.delta_frames

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        mel: Tensor = super().forward(wave)
        change = self._delta(mel)
        return torch.cat([mel, change, self._delta(change)], dim=1)

    def _delta(self, frames: Tensor) -> Tensor:
        width = self.width
        padded = torch.cat([frames[:1].expand(width, -1), frames, frames[-1:].expand(width, -1)])
        slopes = [
            n * (padded[width + n : None if n == width else n - width] - padded[width - n : -width - n])
            for n in range(1, width + 1)
        ]
        return torch.stack(slopes).sum(0) / (2 * sum(n * n for n in range(1, width + 1)))


class SpectrogramFrontEnd(nn.Module):
    """The lowest bins of the spectrum, (samples,) -> (K, bins)."""

    def __init__(self, features: Spectrogram) -> None:
        super().__init__()
        self.spectrum = Spectrum(features.stft)
        self.bins, self.scale = features.bins, features.scale

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        magnitude: Tensor = self.spectrum(self.spectrum.frames(wave))[:, : self.bins]
        if self.scale == "magnitude":
            return magnitude
        return magnitude.square() if self.scale == "power" else decibels(magnitude.square())


class CepstraFrontEnd(nn.Module):
    """MFCC, optionally with chroma, (samples,) -> (K, n_mfcc + n_chroma)."""

    def __init__(self, features: Cepstra) -> None:
        super().__init__()
        self.length = features.signal_length
        bank = {"sampling_rate": features.analysis_rate, "n_fft": features.n_fft}
        self.spectrum = Spectrum(features.stft)
        self.mel = MelBands(**bank, n_mels=features.n_mels)
        self.cepstrum = Cepstrum(n_mfcc=features.n_mfcc, n_mels=features.n_mels)
        self.chroma = Chroma(**bank, n_chroma=features.n_chroma) if features.n_chroma else None

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        wave = wave if self.length is None else _pad_or_crop(wave, self.length)
        power = self.spectrum(self.spectrum.frames(wave)).square()
        mfcc: Tensor = self.cepstrum(decibels(self.mel(power)))
        return mfcc if self.chroma is None else torch.cat([mfcc, self.chroma(power, power)], dim=1)


class SpectralFrontEnd(nn.Module):
    """The 162 features of the study, (samples,) -> (K, 2 + n_chroma + n_mfcc + n_mels)."""

    def __init__(self, features: Spectral162) -> None:
        super().__init__()
        bank = {"sampling_rate": features.filterbank_rate, "n_fft": features.n_fft}
        self.log, self.hop_length, self.n_fft = features.log, features.hop_length, features.n_fft
        self.spectrum = Spectrum(features.stft)
        self.mel = MelBands(**bank, n_mels=features.n_mels)
        self.cepstrum = Cepstrum(n_mfcc=features.n_mfcc, n_mels=features.n_mels)
        self.chroma = Chroma(**bank, n_chroma=features.n_chroma)

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        frames = self.spectrum.frames(wave)
        magnitude = self.spectrum(frames)
        mel = self.mel(magnitude.square())
        mel_db = decibels(mel)
        power = frames.square().mean(1, keepdim=True)
        rms = power.sqrt()
        return torch.cat(
            [
                self._crossings(wave, frames),
                self.chroma(magnitude, magnitude),
                self.cepstrum(mel_db),
                decibels(rms.square()) if self.log else rms,
                mel_db if self.log else mel,
            ],
            dim=1,
        )

    def _crossings(self, wave: Tensor, frames: Tensor) -> Tensor:
        """Return the zero crossing rate of each frame, (K, 1)."""
        negative = (wave < CROSSING).long()
        changes = torch.cat([negative[:1] * 0, (negative[1:] - negative[:-1]).abs()]).cumsum(0)  # up to each sample
        starts = torch.arange(frames.size(0)) * self.hop_length - self.n_fft // 2
        ends = (starts + self.n_fft).minimum(size_of(wave, 0)) - 1
        return ((changes[ends] - changes[starts.clamp(min=0)]).double() / self.n_fft).float()[:, None]


class FunctionalsFrontEnd(SpectralFrontEnd):
    """Statistics of the 162 features over time, (samples,) -> (1, F)."""

    def __init__(self, features: Functionals) -> None:
        super().__init__(features)
        self.functionals = tuple(features.functionals)

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        return summarize(super().forward(wave), self.functionals)[None]


def _pad_or_crop(wave: Tensor, length: int) -> Tensor:
    """Zero-pad or cut a wave to a length, equally on both sides, as :func:`~ser_lightning.features.cepstra` does."""
    missing = length - size_of(wave, 0)  # (1,)
    start = torch.where(
        missing < 0, torch.div(-missing, 2, rounding_mode="floor"), -torch.div(missing, 2, rounding_mode="floor")
    )
    index = start + torch.arange(length)
    inside = (index >= 0) & (index < size_of(wave, 0))
    return torch.where(inside, wave[index.clamp(min=0).minimum(size_of(wave, 0) - 1)], 0.0)


FRONT_ENDS: dict[type[FeatureExtractor], Callable[[Any], nn.Module]] = {
    LogMel: LogMelFrontEnd,
    LogMelDeltas: LogMelDeltasFrontEnd,
    Spectrogram: SpectrogramFrontEnd,
    Cepstra: CepstraFrontEnd,
    Spectral162: SpectralFrontEnd,
    Functionals: FunctionalsFrontEnd,
    SmartTurn: SmartTurnStates,
}


def front_end(features: FeatureExtractor) -> nn.Module | None:
    """Return the module that computes features (K, F) from a wave (samples,), or None if ONNX cannot compute them."""
    make = FRONT_ENDS.get(type(features))
    return None if make is None else make(features).eval()
