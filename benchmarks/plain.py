"""The study's approach written plainly with librosa, torchaudio and PyTorch; the baseline of the benchmark.

The code is neither slowed down on purpose nor tuned: one function per step, with the libraries' defaults.
"""

from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio
import webrtcvad
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

RATE = 16000  # Hz
FRAME = RATE // 50  # 20 ms
SIGMA = 0.01  # standard deviation of the noise relative to full scale
BATCH = 96  # clips that the study padded together for torchaudio's pitch shift: 864 clips in 9 batches


def voiced(path: Path) -> np.ndarray:
    """Read a clip and remove frames without speech; return (samples,) at 16 kHz."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(wave.mean(1), rate, RATE)
    pcm = np.round(mono * 32767).astype(np.int16)
    detector = webrtcvad.Vad(2)
    speech = []
    for start in range(0, len(pcm), FRAME):
        frame = np.pad(pcm[start : start + FRAME], (0, max(0, start + FRAME - len(pcm))))
        if detector.is_speech(frame.tobytes(), RATE):
            speech.append(frame)
    return (np.concatenate(speech) if speech else pcm).astype(np.float32) / 32768


def save(folder: Path, name: str, wave: np.ndarray) -> Path:
    """Write a 16-bit WAV file, as the study does between its steps."""
    path = folder / f"{name}.wav"
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return path


def augment_with_torchaudio(waves: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Return noisy, higher and lower copies; clips are padded to the longest, and transforms are built per batch."""
    lengths = [len(wave) for wave in waves]
    batch = nn.utils.rnn.pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
    with torch.no_grad():
        copies = [
            batch + SIGMA * torch.randn_like(batch),
            torchaudio.transforms.PitchShift(RATE, 3)(batch),
            torchaudio.transforms.PitchShift(RATE, -3)(batch),
        ]
    return [[copy[i, :n].numpy() for i, n in enumerate(lengths)] for copy in copies]


def augment_with_librosa(waves: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Return noisy, higher and lower copies, one clip at a time."""
    generator = np.random.default_rng(0)
    return [
        [wave + SIGMA * generator.standard_normal(len(wave), dtype=np.float32) for wave in waves],
        *([librosa.effects.pitch_shift(wave, sr=RATE, n_steps=steps) for wave in waves] for steps in (3, -3)),
    ]


def features(wave: np.ndarray) -> np.ndarray:
    """Return the 162 features of a clip at 16 kHz, (162, K), with the study's five librosa calls."""
    return np.vstack(
        [
            librosa.feature.zero_crossing_rate(wave),
            librosa.feature.chroma_stft(S=np.abs(librosa.stft(wave)), sr=RATE),
            librosa.feature.mfcc(y=wave, sr=RATE),
            librosa.feature.rms(y=wave),
            librosa.feature.melspectrogram(y=wave, sr=RATE),
        ]
    ).astype(np.float32)


def prepare(train: Sequence[Path], others: Sequence[Path], *, folder: Path, torchaudio_pitch: bool) -> list[np.ndarray]:
    """Return the features of the training clips with their copies and of the other clips, through WAV files."""
    augment = augment_with_torchaudio if torchaudio_pitch else augment_with_librosa
    saved = [save(folder, path.stem, voiced(path)) for path in (*train, *others)]
    for start in range(0, len(train), BATCH):
        part = saved[: len(train)][start : start + BATCH]
        copies = augment([librosa.load(path, sr=RATE)[0] for path in part])
        for number, waves in enumerate(copies):
            saved += [save(folder, f"{path.stem}_{number}", wave) for path, wave in zip(part, waves, strict=True)]
    return [features(librosa.load(path, sr=RATE)[0]) for path in saved]


class Network(nn.Module):
    """The study's network built from torch layers; with ``masked``, the LSTM receives packed sequences.

    Args:
        channels: output channels of each convolution
        kernel_sizes: kernel size of each convolution
        strides: stride of each convolution
        hidden: LSTM units per direction
        mean: (162,), subtracted from each feature; None for no standardization
        deviation: (162,), by which each feature is divided
        masked: whether to ignore padding

    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        hidden: int,
        mean: Tensor | None,
        deviation: Tensor | None,
        masked: bool,
    ) -> None:
        super().__init__()
        inputs = [162, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, k, s) for i, o, k, s in zip(inputs, channels, kernel_sizes, strides, strict=False)
        )
        self.sizes = list(zip(kernel_sizes, strides, strict=True))
        self.pool = nn.MaxPool1d(5, 1)
        self.lstm = nn.LSTM(channels[-1], hidden, batch_first=True, bidirectional=True)
        self.classifier = nn.Sequential(
            *(nn.BatchNorm1d(4 * hidden), nn.Linear(4 * hidden, 60), nn.ReLU(), nn.Dropout(0.25)),
            *(nn.Linear(60, 50), nn.ReLU(), nn.Dropout(0.25), nn.Linear(50, 8)),
        )
        self.mean, self.deviation, self.masked = mean, deviation, masked

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map features (B, 162, K) and lengths (B,) to logits (B, 8)."""
        if self.mean is not None and self.deviation is not None:
            x = (x - self.mean[:, None]) / self.deviation[:, None]
        for convolution, (kernel_size, stride) in zip(self.convolutions, self.sizes, strict=True):
            x = self.pool(convolution(x))
            lengths = (lengths - kernel_size) // stride + 1 - 4
        x = x.transpose(1, 2)
        if not self.masked:
            y = self.lstm(x)[0]
            return self.classifier(torch.cat([y.amax(1), y.mean(1)], 1))  # type: ignore[no-any-return]
        lengths = lengths.clamp(min=1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        padding = torch.arange(y.size(1)) >= lengths[:, None]
        top = y.masked_fill(padding[:, :, None], -torch.inf).amax(1)
        return self.classifier(torch.cat([top, y.sum(1) / lengths[:, None]], 1))  # type: ignore[no-any-return]
