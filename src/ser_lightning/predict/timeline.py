"""Draw the timeline of a recording: its waveform, segments and probabilities."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ser_lightning.audio.open_file import Sound
from ser_lightning.predict.channels import SIDES
from ser_lightning.predict.formats import channels_of
from ser_lightning.predict.segment import SegmentPrediction

Rows = Sequence[SegmentPrediction]
Open = Callable[[], AbstractContextManager[Sound]]

# Okabe & Ito (2008), which color-blind readers can tell apart, and darker shades of them for more than seven emotions.
COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7a5195", "#8c6d31"),
    *("#004c77", "#8f3f00", "#006b4f", "#88506f"),
)
OTHER = "#a8a8a8"  # no emotion, such as no speech
WIDTH = 12.0  # inches
BINS = 2400  # columns of the picture


def color_of(answer: str, emotions: Sequence[str]) -> str:
    """Return the color of an answer."""
    return COLORS[emotions.index(answer) % len(COLORS)] if answer in emotions else OTHER


def read_envelope(open_recording: Open, channel: str, *, seconds: float, bins: int) -> npt.NDArray[np.float32]:
    """Return the lowest and the highest sample of each part of a recording, (2, bins).

    Args:
        open_recording: opens the recording
        channel: name of the channel, see :class:`~ser_lightning.predict.channels.Channel`
        seconds: length of the recording
        bins: number of parts

    """
    envelope, position = np.zeros((2, bins), np.float32), 0
    with open_recording() as sound:
        samples = max(1.0, seconds * sound.rate)
        for block in sound.blocks:
            wave = channel_of(block, channel)
            index = np.minimum(
                (np.arange(position, position + len(wave)) * (bins / samples)).astype(np.int64), bins - 1
            )
            np.minimum.at(envelope[0], index, wave)
            np.maximum.at(envelope[1], index, wave)
            position += len(wave)
    return envelope


def channel_of(block: npt.NDArray[np.float32], channel: str) -> npt.NDArray[np.float32]:
    """Return the channel with a name (samples,) of a block (samples, channels)."""
    if channel in ("mono", "mean"):
        mean: npt.NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
        return mean
    return block[:, SIDES.index(channel) if channel in SIDES else int(channel) - 1]


def visible_spans(rows: Rows) -> list[tuple[SegmentPrediction, float, float]]:
    """Return each row of a channel with the part that no later row covers: windows end where the next one starts."""
    ordered = sorted(rows, key=lambda row: row.start)
    starts = [*(row.start for row in ordered[1:]), np.inf]
    return [(row, row.start, min(row.end, start)) for row, start in zip(ordered, starts, strict=True)]


def draw_timeline(rows: Rows, open_recording: Open, emotions: Sequence[str]) -> bytes:
    """Return the picture of the timeline of a recording, as PNG.

    Args:
        rows: all predictions for the recording
        open_recording: opens it
        emotions: all emotions, in class order

    """
    channels, seconds = channels_of(rows), rows[0].duration
    figure = Figure(figsize=(WIDTH, 0.9 + 2.6 * len(channels)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2 * len(channels), 1, sharex=True, squeeze=False, height_ratios=[1, 1.2] * len(channels))
    for number, channel in enumerate(channels):
        channel_rows = [row for row in rows if row.channel == channel]
        waveform, shares = grid[2 * number][0], grid[2 * number + 1][0]
        envelope = read_envelope(open_recording, channel, seconds=seconds, bins=BINS)
        _draw_waveform(waveform, envelope, channel_rows, emotions, seconds=seconds)
        _draw_probabilities(shares, channel_rows, emotions)
        waveform.set_ylabel("waveform" if len(channels) == 1 else channel)
    last = grid[-1][0]
    last.set_xlim(0, seconds)
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    last.set_xlabel("time")
    answers = dict.fromkeys([*emotions, *(row.answer for row in rows if row.answer not in emotions)])
    handles = [Patch(color=color_of(answer, emotions), label=answer) for answer in answers]
    figure.legend(handles=handles, loc="outside upper center", ncols=10, frameon=False, fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, or as hours, minutes and seconds.

    >>> clock(62.4), clock(3600)
    ('1:02', '1:00:00')
    """
    minutes, remainder = divmod(int(seconds), 60)
    return f"{minutes}:{remainder:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{remainder:02}"


def _draw_waveform(
    axes: Axes, envelope: npt.NDArray[np.float32], rows: Rows, emotions: Sequence[str], *, seconds: float
) -> None:
    """Draw the waveform over the segments, which have the color and, where there is room, the name of the answer."""
    times = (np.arange(envelope.shape[1]) + 0.5) * seconds / envelope.shape[1]
    axes.fill_between(times, *envelope, color="#333333", linewidth=0)
    peak = max(float(np.abs(envelope).max()), 1e-3)
    axes.set_ylim(-peak, 1.35 * peak)
    for row, start, end in visible_spans(rows):
        axes.axvspan(start, end, color=color_of(row.answer, emotions), alpha=0.28, linewidth=0)
        if (end - start) / seconds > 0.007 * len(row.answer):
            axes.text((start + end) / 2, 1.3 * peak, row.answer, ha="center", va="top", fontsize=8)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_probabilities(axes: Axes, rows: Rows, emotions: Sequence[str]) -> None:
    """Draw the probabilities of each segment as a stacked bar."""
    spans = [span for span in visible_spans(rows) if span[0].probabilities is not None]
    starts = np.array([start for _, start, _ in spans])
    widths = np.array([end for _, _, end in spans]) - starts
    bottom = np.zeros(len(spans))
    for emotion in emotions:
        shares = np.array([(row.probabilities or {})[emotion] for row, _, _ in spans])
        axes.bar(starts, shares, width=widths, bottom=bottom, align="edge", color=color_of(emotion, emotions))
        bottom += shares
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability")
    axes.spines[["top", "right"]].set_visible(False)
