"""Hidden states of the encoder of Smart Turn as a module that can be exported to ONNX."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_lightning.export.spectra import constant, size_of
from ser_lightning.export.statistics import deviation
from ser_lightning.features.encoders import smart_turn
from ser_lightning.features.encoders.encoder import SmartTurn
from ser_lightning.features.encoders.smart_turn import LONGEST, VARIANCE_FLOOR
from ser_lightning.features.encoders.whisper import FLOOR, FRAME, HOP, N_FFT, RANGE, mel_filters
from ser_lightning.models.exporting import as_size


class SmartTurnStates(nn.Module):
    """Hidden states of a clip, (samples,) -> (1, F) or (K, F).

    The parts of a clip of more than 8 s are one batch. Their lengths differ by at most one sample, so one may have a
    frame less than the others: that frame is masked.

    Args:
        features: the features to reproduce

    """

    bank: Tensor
    basis: Tensor

    def __init__(self, features: SmartTurn) -> None:
        super().__init__()
        self.crop, self.pooling = features.crop, features.pooling
        self.layers = tuple(features.layers or ())
        self.encoder = smart_turn.load()
        self.register_buffer("bank", constant(mel_filters()))
        self.register_buffer("basis", constant(_windowed_basis()))

    def forward(self, wave: Tensor) -> Tensor:
        """Return the features of a wave."""
        padded, lengths = _parts(wave)
        counts = torch.div(lengths + FRAME - 1, FRAME, rounding_mode="floor")  # (P,), frames of each part
        mel = self._log_mel(padded)
        most = counts[:1]
        total = as_size(most[0]) if self.crop else mel.size(2) * HOP // FRAME
        mel = mel[:, :, mel.size(2) - total * FRAME // HOP :]
        real = torch.arange(total) >= (total - counts)[:, None]  # (P, K), the frames are at the end
        states = self.encoder(mel, real if self.crop else None)
        chosen = torch.cat([states[layer] for layer in self.layers], dim=2).flatten(0, 1)
        frames = chosen[real.flatten().nonzero()[:, 0]]
        if self.pooling == "frames":
            return frames
        return torch.cat([frames.mean(0), deviation(frames)])[None]

    def _log_mel(self, waves: Tensor) -> Tensor:
        """Return the log-mel spectrogram of waves (P, LONGEST), (P, bands, LONGEST // HOP).

        Source: ser_lightning.features.encoders.whisper.log_mel
        """
        padded = F.pad(waves[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")
        real, imaginary = F.conv1d(padded, self.basis, stride=HOP)[:, :, :-1].chunk(2, dim=1)
        decades = (self.bank @ (real.square() + imaginary.square())).clamp(min=FLOOR).log10()
        return (decades.maximum(decades.amax(dim=(1, 2), keepdim=True) - RANGE) + 4) / 4


def _parts(wave: Tensor) -> tuple[Tensor, Tensor]:
    """Divide a wave as :func:`numpy.array_split` does, pad each part at its start, and normalize it.

    Returns:
        The parts (P, LONGEST) and their numbers of samples (P,).

    """
    samples = size_of(wave, 0)
    count = torch.div(samples + LONGEST - 1, LONGEST, rounding_mode="floor")
    number = torch.arange(as_size(count[0]))
    size = torch.div(samples, count, rounding_mode="floor")
    larger = samples - size * count  # number of parts with one sample more
    lengths = size + (number < larger).long()
    starts = number * size + number.minimum(larger)
    index = (starts + lengths - LONGEST)[:, None] + torch.arange(LONGEST)
    padded = torch.where(index >= starts[:, None], wave[index.clamp(min=0)], 0.0)
    exact = padded.double()
    centered = exact - exact.mean(1, keepdim=True)
    normal = centered / (centered.square().mean(1, keepdim=True) + VARIANCE_FLOOR).sqrt()
    return normal.float(), lengths


def _windowed_basis() -> npt.NDArray[np.float32]:
    """Return the basis of the Fourier transform times a Hann window: cosines, then sines, (2 bins, 1, N_FFT)."""
    phase = 2 * np.pi / N_FFT * np.outer(np.arange(1 + N_FFT // 2), np.arange(N_FFT))
    window = 0.5 - 0.5 * np.cos(2 * np.pi / N_FFT * np.arange(N_FFT))
    basis = np.concatenate([np.cos(phase), -np.sin(phase)]) * window
    rounded: npt.NDArray[np.float32] = basis[:, None].astype(np.float32)
    return rounded
