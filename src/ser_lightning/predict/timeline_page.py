"""Write the timeline of a recording as a page with a player, which needs no other file."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jinja2 import Environment, StrictUndefined

from ser_lightning.audio.resample import Resampler
from ser_lightning.predict.formats import channels_of
from ser_lightning.predict.segment import SegmentPrediction
from ser_lightning.predict.timeline import Open, Rows, clock, color_of, read_envelope, visible_spans

TEMPLATE = Path(__file__).with_name("timeline.html.j2")
RATE = 24000  # Hz, of the player
LONGEST = 7200.0  # seconds; a page with a longer recording would take too much memory in a browser
BINS_PER_SECOND, MOST_BINS = 20, 20_000
PIXELS_PER_SECOND, MOST_PIXELS = 20, 20_000


def make_page(rows: Rows, open_recording: Open, emotions: Sequence[str]) -> str:
    """Return the page of a recording.

    Args:
        rows: all predictions for the recording
        open_recording: opens it
        emotions: all emotions, in class order

    """
    seconds = rows[0].duration
    answers = dict.fromkeys([*emotions, *(row.answer for row in rows if row.answer not in emotions)])
    text: str = _template().render(
        name=rows[0].path,
        seconds=seconds,
        pixels=round(min(PIXELS_PER_SECOND * seconds, MOST_PIXELS)),
        length=clock(seconds),
        audio=encode_audio(open_recording) if seconds <= LONGEST else None,
        longest=clock(LONGEST),
        emotions=emotions,
        colors={answer: color_of(answer, emotions) for answer in answers},
        channels=[_channel(rows, channel, open_recording, emotions) for channel in channels_of(rows)],
        rows=[(row, _tenths(row.start), _tenths(row.end)) for row in rows],
        warnings=dict.fromkeys(warning for row in rows for warning in row.warnings),
    )
    return text


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _channel(rows: Rows, channel: str, open_recording: Open, emotions: Sequence[str]) -> dict[str, Any]:
    """Return the shapes of a channel, in percent of the width and height."""
    seconds = rows[0].duration
    bins = int(min(MOST_BINS, max(200, seconds * BINS_PER_SECOND)))
    envelope = read_envelope(open_recording, channel, seconds=seconds, bins=bins)
    envelope = 50 - 50 * envelope / max(float(np.abs(envelope).max()), 1e-3)
    points = [*enumerate(envelope[1]), *reversed(list(enumerate(envelope[0])))]
    path = "M" + "L".join(f"{100 * x / bins:.3f} {y:.1f}" for x, y in points) + "Z"
    channel_rows = [row for row in rows if row.channel == channel]
    return {
        "name": channel,
        "waveform": path,
        "segments": [_segment(*span, emotions) for span in visible_spans(channel_rows)],
    }


def _segment(row: SegmentPrediction, start: float, end: float, emotions: Sequence[str]) -> dict[str, Any]:
    left, width = 100 * start / row.duration, 100 * (end - start) / row.duration
    bars, top = [], 0.0
    for emotion in emotions if row.probabilities else ():
        share = 100 * (row.probabilities or {})[emotion]
        bars.append((emotion, top, share))
        top += share
    return {"row": row, "left": left, "width": width, "bars": bars}


def _tenths(seconds: float) -> str:
    """Return a time with tenths of a second.

    >>> _tenths(62.48)
    '1:02.5'
    """
    tenths = round(10 * seconds)
    return f"{clock(tenths // 10)}.{tenths % 10}"


def encode_audio(open_recording: Open) -> str:
    """Return a recording as MP3 in base64; more than two channels are mixed down."""
    content = io.BytesIO()
    with open_recording() as sound:
        channels = sound.channels if sound.channels <= 2 else 1
        resamplers = [Resampler(sound.rate, RATE, "soxr") for _ in range(channels)]
        with soundfile.SoundFile(content, "w", RATE, channels, format="MP3", subtype="MPEG_LAYER_III") as file:
            for block in sound.blocks:
                samples = block if channels == sound.channels else block.mean(axis=1, keepdims=True)
                parts = [each.feed(np.ascontiguousarray(samples[:, n])) for n, each in enumerate(resamplers)]
                file.write(np.clip(np.stack(parts, axis=1), -1, 1))
            file.write(np.clip(np.stack([each.finish() for each in resamplers], axis=1), -1, 1))
    return base64.b64encode(content.getvalue()).decode()
