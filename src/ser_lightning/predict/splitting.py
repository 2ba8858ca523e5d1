"""Divide recordings into the segments to predict."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from ser_lightning.audio.audio import Audio
from ser_lightning.audio.open_file import Sound
from ser_lightning.audio.resample import Resampler
from ser_lightning.audio.sound import BLOCK, SAMPLES, SECONDS
from ser_lightning.errors import InputError
from ser_lightning.predict import defaults
from ser_lightning.predict.channels import Channel, Floats, Levels, check_channels, choose_channels
from ser_lightning.predict.segment import Segment
from ser_lightning.predict.spans import Segmenter, SpeechSegmenter, WindowSegmenter
from ser_lightning.predict.speech import check_detector, make_detector
from ser_lightning.recording_conditions import TrainingData

MARGIN_S = 0.1  # silence kept around an utterance
# The same for models that were trained without voice activity detection, on clips that begin and end with silence.
UNCUT_MARGIN_S = 0.5
LONG = 2  # a recording of more than this many times the greatest length gets a warning if it is predicted whole

Open = Callable[[], AbstractContextManager[Sound]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Splitting:
    """Options for dividing recordings into segments.

    Args:
        mode: ``speech`` cuts utterances, ``windows`` sliding windows, ``whole`` nothing
        least: least length of an utterance, seconds
        greatest: greatest length of an utterance, seconds; a recording that is not longer is one segment
        pause: length of a pause that ends an utterance, seconds
        window: length of a window, seconds
        hop: time between the starts of consecutive windows, seconds
        channels: see :func:`~ser_lightning.predict.channels.choose_channels`
        least_speech: seconds of speech below which there is no utterance
        vad: detector of speech, ``webrtc`` with the settings of training or ``silero``
        rms_db: root mean square level that recordings are scaled to, dBFS; None leaves them as they are

    Raises:
        InputError: a value is out of range, or the package of the detector is not installed

    """

    mode: str
    least: float
    greatest: float
    pause: float
    window: float
    hop: float
    channels: str
    least_speech: float
    vad: str
    rms_db: float | None

    def __post_init__(self) -> None:
        check_channels(self.channels)
        check_detector(self.vad)
        if not 0.1 <= self.least <= self.greatest <= 3600:
            raise InputError(
                f"--min-length is {self.least} and --max-length is {self.greatest}; expected at least 0.1 s, at most"
                " 3600 s, and no more for the first than for the second"
            )
        if not 0 < self.pause <= 3600:
            raise InputError(f"--pause is {self.pause}; expected a number of seconds above 0")
        if not (0.1 <= self.window <= 3600 and 0.01 <= self.hop <= self.window):
            raise InputError(
                f"--window is {self.window} and --hop is {self.hop}; expected a window of 0.1 to 3600 s, and a hop of"
                " at least 0.01 s and no more than the window"
            )


def make_splitting(
    *,
    training_data: TrainingData | None,
    whole: bool = False,
    window: float | None = None,
    hop: float | None = None,
    min_length: float | None = None,
    max_length: float | None = None,
    pause: float = defaults.PAUSE,
    channels: str = "mean",
    min_speech: float = defaults.MIN_SPEECH,
    vad: str = defaults.VAD,
    normalize_loudness: bool = False,
) -> Splitting:
    """Return how recordings are divided, with the defaults of a model for what is None.

    Args:
        training_data: conditions of the training clips of the model, or None if they are unknown
        whole: whether recordings are not divided
        window: length of sliding windows, seconds; None divides into utterances, unless ``hop`` is given
        hop: time between the starts of windows, seconds
        min_length: least length of an utterance, seconds
        max_length: greatest length of an utterance, seconds
        pause: length of a pause that ends an utterance, seconds
        channels: see :func:`~ser_lightning.predict.channels.choose_channels`
        min_speech: seconds of speech below which there is no utterance
        vad: detector of speech, ``webrtc`` or ``silero``
        normalize_loudness: scale each recording to the median level of the training clips

    Raises:
        InputError: a value is out of range, the level of the training clips is unknown, or silero-vad is not installed

    """
    mode, window, hop = defaults.choose_mode(whole=whole, window=window, hop=hop)
    greatest = defaults.default_max_length(training_data) if max_length is None else max_length
    if normalize_loudness and training_data is None:
        raise InputError("--normalize-loudness needs the level of the training clips, which the model does not state")
    return Splitting(
        mode=mode,
        least=min(defaults.MIN_LENGTH, greatest) if min_length is None else min_length,
        greatest=greatest,
        pause=pause,
        window=window,
        hop=hop,
        channels=channels,
        least_speech=min_speech,
        vad=vad,
        rms_db=training_data.quantiles["rms_db"]["p50"] if training_data and normalize_loudness else None,
    )


class Splitter:
    """Divides recordings into segments.

    Args:
        splitting: how
        audio: the audio processing of the model
        warnings: warnings that hold for every segment

    """

    def __init__(self, splitting: Splitting, audio: Audio, *, warnings: tuple[str, ...] = ()) -> None:
        self.splitting = splitting
        self.audio = audio
        self.warnings = warnings

    def split(self, path: str, open_recording: Open) -> Iterator[Segment]:
        """Yield the segments of a recording; its samples are read in blocks, twice if it is long.

        Args:
            path: name of the recording in the segments
            open_recording: opens the recording

        Raises:
            InputError: the recording cannot be read, is too long to be predicted whole, has no such channel, or ends
                before ``audio.offset_s``

        """
        with open_recording() as sound:
            levels, head, samples = self._scan(sound, path)
        rate, seconds = sound.rate, samples / sound.rate
        if seconds <= (self.audio.offset_s or 0):
            raise InputError(
                f"{path} is too short: it lasts {seconds:.3f} s, which audio.offset_s={self.audio.offset_s} skips; set"
                " it to 0, or leave the recording out"
            )
        level, warnings = self.splitting.rms_db, self.warnings
        if sound.damage:
            warnings = (*warnings, f"damaged: {seconds:.1f} s are decoded ({sound.damage[0]})")
        if self.splitting.mode == "whole" and seconds > LONG * self.splitting.greatest:
            warnings = (*warnings, f"{seconds:.0f} s at once, the training clips are much shorter")
        channels = [
            replace(
                channel,
                gain=1.0 if level is None else levels.gain(channel.index, samples=samples, rms_db=level),
                warnings=(*channel.warnings, *warnings),
            )
            for channel in choose_channels(self.splitting.channels, levels, path=path)
        ]
        if head is None:
            with open_recording() as sound:
                yield from self._divide(sound, channels, path, seconds=seconds)
            return
        for channel in channels:
            yield Segment(
                path=path,
                channel=channel.name,
                duration=seconds,
                start=0.0,
                end=seconds,
                wave=channel.of(head),
                rate=rate,
                warnings=channel.warnings,
            )

    def split_stream(self, path: str, sound: Sound) -> Iterator[Segment]:
        """Yield the segments of a signal of one channel as soon as they are complete.

        They are those of :meth:`split` for a file of the same samples. A signal that is not longer than one segment is
        complete at its end, so the first segment of a longer one waits until the signal is longer than that.

        Args:
            path: name of the signal in the segments
            sound: the signal

        Raises:
            InputError: an error of :meth:`split`, or the signal is empty

        """
        head, samples = [], 0
        for block in sound.blocks:
            head.append(block)
            samples += len(block)
            if samples > self._longest * sound.rate:
                break
        if not samples:
            raise InputError(f"{path} contains no samples; expected raw samples of one channel")
        if samples <= self._longest * sound.rate or self.splitting.mode == "whole":
            yield from self.split(path, lambda: nullcontext(Sound(sound.rate, 1, iter(head))))
            return
        remaining = Sound(sound.rate, 1, chain(head, sound.blocks))
        yield from self._divide(remaining, [Channel("mono", 0, warnings=self.warnings)], path, seconds=math.inf)

    @property
    def _longest(self) -> float:
        """Length up to which a recording is one segment, seconds."""
        values = self.splitting
        return {"speech": values.greatest, "windows": values.window, "whole": float(SECONDS)}[values.mode]

    def segmenter(self) -> Segmenter:
        """Return a segmenter for one channel at the sampling rate of the model."""
        values, rate = self.splitting, self.audio.sampling_rate
        if values.mode == "windows":
            return WindowSegmenter(window=round(values.window * rate), hop=round(values.hop * rate))
        return SpeechSegmenter(
            rate=rate,
            detector=make_detector(self.audio, values.vad),
            least=values.least,
            greatest=values.greatest,
            pause=values.pause,
            margin=MARGIN_S if self.audio.vad_mode is not None else min(UNCUT_MARGIN_S, values.pause),
            least_speech=values.least_speech,
        )

    def _scan(self, sound: Sound, path: str) -> tuple[Levels, Floats | None, int]:
        """Return the levels of a recording, its samples if it is one segment, and their number."""
        values, longest = self.splitting, self._longest
        levels, head, samples = Levels(), [], 0
        for block in sound.blocks:
            levels.add(block)
            samples += len(block)
            if samples <= longest * sound.rate and samples * sound.channels <= SAMPLES:
                head.append(block)
            elif values.mode == "whole":
                raise InputError(
                    f"{path} lasts more than {samples / sound.rate:.0f} s; expected at most {SECONDS} s and {SAMPLES}"
                    " samples in all with --whole: leave it out"
                )
        one_segment = samples <= longest * sound.rate and samples * sound.channels <= SAMPLES
        return levels, np.concatenate(head) if one_segment else None, samples

    def _divide(self, sound: Sound, channels: list[Channel], path: str, *, seconds: float) -> Iterator[Segment]:
        """Yield the segments of a long recording; its seconds are infinite while a stream goes on."""
        rate = self.audio.sampling_rate
        parts = [(channel, Resampler(sound.rate, rate, self.audio.resampler), self.segmenter()) for channel in channels]
        with_segments: set[str] = set()

        def segments(channel: Channel, segmenter: Segmenter, samples: Floats, *, last: bool) -> Iterator[Segment]:
            for span in [*segmenter.feed(samples), *(segmenter.finish() if last else [])]:
                with_segments.add(channel.name)
                start = span.start / rate
                end = min(start + len(span.wave) / rate, seconds)
                yield self._segment(path, channel, (start, end, seconds), span.wave)

        samples = 0
        for block in sound.blocks:
            samples += len(block)
            for channel, resampler, segmenter in parts:
                yield from segments(channel, segmenter, resampler.feed(channel.of(block)), last=False)
        seconds = samples / sound.rate
        for channel, resampler, segmenter in parts:
            yield from segments(channel, segmenter, resampler.finish(), last=True)
            if channel.name not in with_segments:  # nothing but silence
                yield self._segment(path, channel, (0.0, seconds, seconds), np.zeros(rate, np.float32))

    def _segment(self, path: str, channel: Channel, times: tuple[float, float, float], wave: Floats) -> Segment:
        start, end, duration = times
        return Segment(
            path=path,
            channel=channel.name,
            duration=duration,
            start=start,
            end=end,
            wave=wave,
            rate=self.audio.sampling_rate,
            warnings=channel.warnings,
        )


def open_waveform(wave: Floats, rate: int) -> AbstractContextManager[Sound]:
    """Open a waveform (samples, channels) like a recording, in the same blocks."""
    return nullcontext(Sound(rate, wave.shape[1], (wave[at : at + BLOCK] for at in range(0, len(wave), BLOCK))))
