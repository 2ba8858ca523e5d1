"""Frames and spectra of a waveform as operations of torch that exist in ONNX."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from ser_lightning.features import filterbanks, spectral
from ser_lightning.features.stft import STFT, padded_window
from ser_lightning.models.exporting import as_size

LAST_AXIS, FREQUENCY_AXIS = -1, -2  # of the signals (K, n_fft, 1) that ONNX's DFT takes


def size_of(x: Tensor, axis: int) -> Tensor:
    """Return the size of an axis as a tensor, (1,), which stays a variable in export."""
    return torch._shape_as_tensor(x)[axis : axis + 1]


def constant(array: npt.NDArray[Any]) -> Tensor:
    """Return a copy of an array as a tensor."""
    return torch.tensor(np.ascontiguousarray(array))


class _RealFFT(Function):
    """Fourier transform of real signals (K, n_fft): (K, 1 + n_fft // 2, 2), exported as ONNX's operator DFT."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor) -> Tensor:
        return torch.view_as_real(torch.fft.rfft(frames))

    @staticmethod
    def symbolic(g: Any, frames: Any) -> Any:
        def number(value: int) -> Any:
            return g.op("Constant", value_t=torch.tensor(value))

        signals = g.op("Unsqueeze", frames, number(LAST_AXIS))
        n_fft = g.op("Gather", g.op("Shape", frames), number(1))
        return g.op("DFT", signals, n_fft, number(FREQUENCY_AXIS), onesided_i=1)


class Spectrum(nn.Module):
    """Frames of a waveform and their magnitude spectrum, as :class:`~ser_lightning.features.stft.STFT` computes them.

    Args:
        stft: settings of the transform

    """

    window: Tensor

    def __init__(self, stft: STFT) -> None:
        super().__init__()
        self.stft = stft
        self.register_buffer("window", constant(padded_window(stft)))

    def frames(self, wave: Tensor) -> Tensor:
        """Return the frames (K, n_fft) of a wave (samples,)."""
        n_fft, hop = self.stft.n_fft, self.stft.hop_length
        if self.stft.center:
            padded = F.pad(wave, (n_fft // 2, n_fft // 2))
            rest = size_of(wave, 0)
        else:
            padded = F.pad(wave, (0, n_fft))  # only a wave shorter than a frame reaches these zeros
            rest = (size_of(wave, 0) - n_fft).clamp(min=0)
        count = 1 + torch.div(rest, hop, rounding_mode="floor")
        starts = torch.arange(as_size(count[0])) * hop
        return padded[starts[:, None] + torch.arange(n_fft)]

    def forward(self, frames: Tensor) -> Tensor:
        """Return the magnitudes (K, bins) of frames (K, n_fft)."""
        transformed = cast(Tensor, _RealFFT.apply(frames.double() * self.window))  # type: ignore[no-untyped-call]
        rounded = transformed.float().double()  # the kernels round to single precision before the magnitude
        return rounded.square().sum(2).sqrt().float()


class MelBands(nn.Module):
    """Power in mel bands, (K, bins) -> (K, n_mels).

    Args:
        sampling_rate: Hz
        n_fft: length of a frame, samples
        n_mels: number of bands

    """

    bank: Tensor

    def __init__(self, *, sampling_rate: int, n_fft: int, n_mels: int) -> None:
        super().__init__()
        bank = filterbanks.mel(sampling_rate=sampling_rate, n_fft=n_fft, n_mels=n_mels)
        self.register_buffer("bank", constant(bank.T))

    def forward(self, power: Tensor) -> Tensor:
        """Return the power in each band."""
        return power @ self.bank


class Cepstrum(nn.Module):
    """Mel-frequency cepstral coefficients of levels in dB, (K, n_mels) -> (K, n_mfcc)."""

    cosines: Tensor

    def __init__(self, *, n_mfcc: int, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("cosines", constant(spectral.cosines(n_mfcc, n_mels).T))

    def forward(self, mel_db: Tensor) -> Tensor:
        """Return the coefficients."""
        return torch.maximum(mel_db, mel_db.amax() - float(spectral.TOP_DB)) @ self.cosines


def decibels(power: Tensor) -> Tensor:
    """Convert power to dB with a floor of -100 dB; see :func:`~ser_lightning.features.spectral.decibels`."""
    return power.clamp(min=float(spectral.POWER_FLOOR)).log() * float(np.float32(10 / np.log(10)))
