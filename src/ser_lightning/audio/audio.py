"""Load an audio file as the mono waveform from which features are computed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.reader import DOWNMIXES, RESAMPLERS, FilePart, read_audio, to_mono
from ser_lightning.audio.vad import check_vad, voiced_frames
from ser_lightning.errors import InputError, printable, suggestion


class LoadedClip(NamedTuple):
    """A mono waveform, flagged if no part or no speech could be cut out of it.

    Args:
        wave: (samples,), full scale 1
        without_speech: True if the clip ends before ``offset_s``, so that no part was cut out, or if voice activity
            detection found no speech, so that no frame was removed

    """

    wave: npt.NDArray[np.float32]
    without_speech: bool


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Load audio files: cut out a part, mix down to mono, resample and keep the frames that hold speech.

    Args:
        sampling_rate: rate of the returned waveforms, Hz
        downmix: how several channels become one, see :func:`~ser_lightning.audio.reader.to_mono`; it depends on the
            corpus, so with several corpora this is a mapping from the name of each to its downmix
        resampler: resampling method, ``soxr`` or ``linear``, see :func:`~ser_lightning.audio.reader.to_mono`
        vad_mode: aggressiveness of the voice activity detection, from 0 (least) to 3 (most); None switches it off
        frame_ms: frame length of the voice activity detection, ms
        offset_s: length to skip at the beginning, s; None skips nothing. A clip that is not longer is not cut at all
        duration_s: length to keep after the offset, s, or less where the clip ends first; None keeps the rest

    Raises:
        InputError: a value is out of range

    Source of ``offset_s`` and ``duration_s``: librosa.load, which cuts at the rate of the file, before resampling.

    """

    sampling_rate: int
    downmix: str | Mapping[str, str]
    resampler: str
    vad_mode: int | None
    frame_ms: int
    offset_s: float | None
    duration_s: float | None

    def __post_init__(self) -> None:
        for downmix in self.downmix.values() if isinstance(self.downmix, Mapping) else [self.downmix]:
            if downmix not in DOWNMIXES:
                raise InputError(
                    f"corpus.downmix is {downmix!r}; expected one of {DOWNMIXES}{suggestion(str(downmix), DOWNMIXES)}"
                )
        if self.resampler not in RESAMPLERS:
            raise InputError(
                f"audio.resampler is {self.resampler!r}; expected one of"
                f" {RESAMPLERS}{suggestion(self.resampler, RESAMPLERS)}"
            )
        if self.vad_mode is not None:
            check_vad(sampling_rate=self.sampling_rate, mode=self.vad_mode, frame_ms=self.frame_ms)
        elif self.sampling_rate < 1:
            raise InputError(f"audio.sampling_rate is {self.sampling_rate}; expected a positive number of Hz")
        if self.offset_s is not None and not 0 <= self.offset_s < math.inf:
            raise InputError(f"audio.offset_s is {self.offset_s}; expected at least 0 seconds, or null for none")
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise InputError(
                f"audio.duration_s is {self.duration_s}; expected a positive number of seconds, or null for none"
            )

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version affects the waveforms, besides numpy."""
        resampler = ("soxr",) if self.resampler == "soxr" else ()
        return ("soundfile", *resampler, *(() if self.vad_mode is None else ("webrtcvad-wheels",)))

    def load(self, path: str | Path, *, corpus: str | None = None, **segment: Unpack[FilePart]) -> LoadedClip:
        """Load a file, or a segment of it, as a mono clip.

        Args:
            path: the audio file
            corpus: name of its corpus, needed if ``downmix`` is a mapping; None if it belongs to no corpus
            segment: the part of the file and the channel to read; by default all

        Raises:
            InputError: the file cannot be read, see :func:`~ser_lightning.audio.reader.read_audio`, or it has several
                channels and ``downmix`` does not name its corpus

        """
        wave, rate = read_audio(path, **segment)
        return self.convert(wave, rate, downmix=self._downmix(path, channels=wave.shape[1], corpus=corpus))

    def convert(self, wave: npt.NDArray[np.float32], rate: int, *, downmix: str) -> LoadedClip:
        """Convert samples to a mono clip.

        Args:
            wave: (samples, channels), full scale 1
            rate: sampling rate of ``wave``, Hz
            downmix: how several channels become one, see :func:`~ser_lightning.audio.reader.to_mono`

        """
        part = self._part(wave, rate)
        mono = to_mono(
            part if len(part) else wave,
            rate,
            sampling_rate=self.sampling_rate,
            downmix=downmix,
            resampler=self.resampler,
        )
        if self.vad_mode is None:
            return LoadedClip(mono, without_speech=not len(part))
        voiced = voiced_frames(mono, sampling_rate=self.sampling_rate, mode=self.vad_mode, frame_ms=self.frame_ms)
        return LoadedClip(voiced if len(voiced) else mono, without_speech=not (len(voiced) and len(part)))

    def _part(self, wave: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
        """Return the part that starts at ``offset_s`` and lasts ``duration_s``.

        Args:
            wave: (samples, channels)
            rate: sampling rate of ``wave``, Hz

        Returns:
            (samples', channels), empty if the clip ends before ``offset_s``

        """
        start = int((self.offset_s or 0) * rate)
        end = None if self.duration_s is None else start + max(1, int(self.duration_s * rate))
        return wave[start:end]

    def _downmix(self, path: str | Path, *, channels: int, corpus: str | None) -> str:
        if isinstance(self.downmix, str):
            return self.downmix
        if channels == 1:
            return DOWNMIXES[0]  # every downmix leaves a single channel unchanged
        if corpus is None or corpus not in self.downmix:
            raise InputError(
                f"{printable(Path(path))} has {channels} channels and is of none of the corpora that"
                f" audio.downmix names ({', '.join(self.downmix)}); set audio.downmix to {' or '.join(DOWNMIXES)}"
            )
        return self.downmix[corpus]
