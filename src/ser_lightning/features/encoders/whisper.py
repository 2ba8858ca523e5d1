"""The encoder of Whisper, and its log-mel spectrogram.

Source: Radford et al. 2022, "Robust speech recognition via large-scale weak supervision" (arXiv 2212.04356)
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ser_lightning.features import filterbanks

RATE = 16000  # Hz
N_FFT, HOP, BANDS = 400, 160, 80
FRAME = 2 * HOP  # samples per frame of the encoder, whose second convolution has stride 2
FLOOR = 1e-10  # smallest power of a band
RANGE = 8.0  # decades below the maximum that are kept


@lru_cache
def mel_filters() -> npt.NDArray[np.float32]:
    """Return the mel filterbank of Whisper, (BANDS, 1 + N_FFT // 2)."""
    return filterbanks.mel(sampling_rate=RATE, n_fft=N_FFT, n_mels=BANDS)


def log_mel(waves: Tensor) -> Tensor:
    """Compute the log-mel spectrogram that the encoder was trained on.

    Args:
        waves: (B, samples), at 16 kHz

    Returns:
        (B, bands, samples // HOP), about -1 to 1

    """
    window = torch.hann_window(N_FFT, device=waves.device)
    spectrum = torch.stft(waves, N_FFT, HOP, window=window, return_complex=True)[..., :-1]
    power = torch.from_numpy(mel_filters()).to(waves) @ spectrum.abs().square()
    decades = power.clamp(min=FLOOR).log10()
    decades = decades.maximum(decades.amax(dim=(1, 2), keepdim=True) - RANGE)
    return (decades + 4) / 4


class Block(nn.Module):
    """Transformer layer with normalization before self-attention and before the feed-forward network.

    Args:
        width: size of the hidden states
        heads: number of attention heads
        inner: size of the hidden layer of the feed-forward network

    """

    def __init__(self, *, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor, attended: Tensor | None = None) -> Tensor:
        """Return the next hidden states, (B, K, width) as the input.

        Args:
            x: (B, K, width)
            attended: (B, 1, 1, K), True for frames that others attend to; None for all

        """
        y = self.self_attn_layer_norm(x)
        q, k, v = (
            projection(y).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, K, width / heads)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attended).transpose(1, 2).flatten(2)
        x = x + self.out_proj(mixed)
        changed: Tensor = self.fc2(nn.functional.gelu(self.fc1(self.final_layer_norm(x))))
        return x + changed


class WhisperEncoder(nn.Module):
    """Encoder of Whisper that returns the hidden states of every layer.

    Args:
        layers: number of transformer layers
        width: size of the hidden states
        heads: number of attention heads
        frames: length of the table of positions, the longest input in frames of 20 ms

    """

    def __init__(self, *, layers: int, width: int, heads: int, frames: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(frames, width)
        self.layers = nn.ModuleList(Block(width=width, heads=heads, inner=4 * width) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)

    @classmethod
    def from_weights(cls, weights: Mapping[str, npt.NDArray[np.float32]], *, heads: int) -> "WhisperEncoder":
        """Build the encoder with given weights, whose names and shapes determine its size."""
        frames, width = weights["embed_positions.weight"].shape
        layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
        encoder = cls(layers=layers, width=width, heads=heads, frames=frames)
        encoder.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
        return encoder.eval()

    def forward(self, mel: Tensor, real: Tensor | None = None, *, last: int | None = None) -> list[Tensor]:
        """Return the hidden states before the first layer and after each layer, the last one normalized.

        Args:
            mel: (B, bands, 2K); an input shorter than the table of positions takes the last K positions
            last: the last layer to compute; None for all
            real: (B, K), False for frames of padding, which affect no other frame; None if all are real

        Returns:
            layers + 1 tensors (B, K, width), or ``last`` + 1

        """
        steps = None if real is None else real.repeat_interleave(2, dim=1)[:, None]  # (B, 1, 2K)
        x = nn.functional.gelu(self.conv1(mel if steps is None else mel * steps))
        x = x if steps is None else x * steps
        x = nn.functional.gelu(self.conv2(x)).transpose(1, 2)  # (B, K, width)
        x = x + self.embed_positions.weight[len(self.embed_positions.weight) - x.shape[1] :]
        states = [x]
        for layer in self.layers[:last]:
            states.append(layer(states[-1], None if real is None else real[:, None, None]))
        if len(states) > len(self.layers):
            states[-1] = self.layer_norm(states[-1])
        return states
