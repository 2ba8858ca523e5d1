"""Load an audio file as the mono waveform from which features are computed."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.reader import DOWNMIXES, RESAMPLERS, read_audio, to_mono
from ser_lightning.audio.vad import check_vad, voiced_frames
from ser_lightning.errors import InputError, printable, suggestion


class Clip(NamedTuple):
    """A mono waveform, flagged if no part or no speech could be cut out of it.

    Args:
        wave: (samples,), full scale 1
        nothing_voiced: True if the clip ends before ``offset_s``, so that no part was cut out, or if voice activity
            detection found no speech, so that no frame was removed

    """

    wave: npt.NDArray[np.float32]
    nothing_voiced: bool


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

    def __init__(
        self,
        *,
        sampling_rate: int,
        downmix: str | Mapping[str, str],
        resampler: str,
        vad_mode: int | None,
        frame_ms: int,
        offset_s: float | None,
        duration_s: float | None,
    ) -> None:
        for way in downmix.values() if isinstance(downmix, Mapping) else [downmix]:
            if way not in DOWNMIXES:
                raise InputError(
                    f"corpus.downmix is {way!r}; expected one of {DOWNMIXES}{suggestion(str(way), DOWNMIXES)}"
                )
        if resampler not in RESAMPLERS:
            raise InputError(
                f"audio.resampler is {resampler!r}; expected one of {RESAMPLERS}{suggestion(resampler, RESAMPLERS)}"
            )
        if vad_mode is not None:
            check_vad(sampling_rate=sampling_rate, mode=vad_mode, frame_ms=frame_ms)
        elif sampling_rate < 1:
            raise InputError(f"audio.sampling_rate is {sampling_rate}; expected a positive number of Hz")
        for name, seconds in (("offset_s", offset_s), ("duration_s", duration_s)):
            if seconds is not None and not 0 < seconds < math.inf:
                raise InputError(f"audio.{name} is {seconds}; expected a positive number of seconds, or null for none")
        self.sampling_rate = sampling_rate
        self.downmix = downmix
        self.resampler = resampler
        self.vad_mode = vad_mode
        self.frame_ms = frame_ms
        self.offset_s = offset_s
        self.duration_s = duration_s

    def load(self, path: str | Path, *, corpus: str | None = None) -> Clip:
        """Load a file as a mono clip.

        Args:
            path: the audio file
            corpus: name of its corpus, needed if ``downmix`` is a mapping; None if it belongs to no corpus

        Raises:
            InputError: the file cannot be read, see :func:`~ser_lightning.audio.reader.read_audio`, or it has several
                channels and ``downmix`` does not name its corpus

        """
        wave, rate = read_audio(path)
        part = self._part(wave, rate)
        mono = to_mono(
            part if len(part) else wave,
            rate,
            sampling_rate=self.sampling_rate,
            downmix=self._downmix(path, channels=wave.shape[1], corpus=corpus),
            resampler=self.resampler,
        )
        if self.vad_mode is None:
            return Clip(mono, nothing_voiced=not len(part))
        voiced = voiced_frames(mono, sampling_rate=self.sampling_rate, mode=self.vad_mode, frame_ms=self.frame_ms)
        return Clip(voiced if len(voiced) else mono, nothing_voiced=not (len(voiced) and len(part)))

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
