"""File formats of predictions, as text.

Tables are written row by row and hold any number of recordings. The other formats are documents of one recording.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ser_lightning.errors import InputError
from ser_lightning.output import json_lines
from ser_lightning.predict.segment import SegmentPrediction

Rows = Sequence[SegmentPrediction]
Emotions = Sequence[str]

DIGITS = 6  # decimal places of a probability
COLUMNS = ("path", "channel", "start", "end", "speech", "prediction")


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Args:
        name: its name for ``--format``
        ending: its usual ending
        start: text before the first row, given the emotions
        rows: text of rows, given the emotions and whether they are the first
        end: text after the last row
        document: whether it holds one recording, all of whose rows are given at once

    """

    name: str
    ending: str
    rows: Callable[[Rows, Emotions, bool], str]
    start: Callable[[Emotions], str] = lambda emotions: ""
    end: str = ""
    document: bool = False


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    r"""Return rows as CSV.

    >>> csv_text([["a", "b,c"]])
    'a,"b,c"\n'
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _csv_row(row: SegmentPrediction, emotions: Emotions, *, sets: bool = False) -> list[str]:
    times = [f"{seconds:.3f}" for seconds in (row.start, row.end, row.speech)]
    group = row.emotions or ()
    of_set = [str(len(group)) if group else "", "; ".join(group)] if sets else []
    warnings = "; ".join(row.warnings)
    return [row.path, row.channel, *times, row.answer, *_digits(row, emotions), *of_set, warnings]


def _digits(row: SegmentPrediction, emotions: Emotions) -> list[str]:
    """Return the probabilities as text; empty without speech."""
    values = row.probabilities
    return [f"{values[name]:.{DIGITS}f}" if values else "" for name in emotions]


def plain_row(row: SegmentPrediction, *, sets: bool = False) -> dict[str, Any]:
    """Return a row as plain values, as JSON holds it."""
    values, group = row.probabilities, row.emotions
    return {
        "path": row.path,
        "channel": row.channel,
        "start": round(row.start, 3),
        "end": round(row.end, 3),
        "speech": round(row.speech, 3),
        "prediction": row.answer,
        "probabilities": values and {name: round(value, DIGITS) for name, value in values.items()},
        **({"set_size": group and len(group), "set": group and list(group)} if sets else {}),
        "warnings": list(row.warnings),
    }


def _json(rows: Rows, emotions: Emotions, first: bool, *, sets: bool = False) -> str:
    lines = [json.dumps(plain_row(row, sets=sets), ensure_ascii=False) for row in rows]
    return ("" if first else ",\n") + ",\n".join(lines)


def _audformat(rows: Rows, emotions: Emotions, first: bool) -> str:
    """Return rows of a segmented table of audformat, whose times are timedeltas of pandas.

    Raises:
        InputError: a segment has a channel of its own, for which the format has no place

    """
    for row in rows:
        if row.channel not in ("mono", "mean"):
            raise InputError(
                f"{row.path}: segments of audformat have no channel, got {row.channel!r}; give another --format"
            )
    return csv_text(
        [[row.path, _timedelta(row.start), _timedelta(row.end), row.answer, *_digits(row, emotions)] for row in rows]
    )


def _timedelta(seconds: float) -> str:
    """Return a time as pandas writes it.

    >>> _timedelta(3723.0405)
    '0 days 01:02:03.040500'
    """
    microseconds = round(seconds * 1e6)
    return f"{microseconds // 86_400_000_000} days {_clock(microseconds % 86_400_000_000 / 1e6, digits=6)}"


def _clock(seconds: float, *, digits: int) -> str:
    """Return a time as hours, minutes and seconds.

    >>> _clock(3723.0405, digits=3)
    '01:02:03.040'
    """
    units = round(seconds * 10**digits)
    minutes, remainder = divmod(units, 60 * 10**digits)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{remainder // 10**digits:02}.{remainder % 10**digits:0{digits}}"


def _rttm(rows: Rows, emotions: Emotions, first: bool) -> str:
    """Return rows of NIST's RTTM, whose fields hold no blanks."""
    return "".join(
        f"SPEAKER {_field(row.path)} {_channel_number(row.channel)} {row.start:.3f}"
        f" {row.end - row.start:.3f} <NA> <NA> {_field(row.answer)} {_confidence(row)} <NA>\n"
        for row in rows
    )


def _field(text: str) -> str:
    return re.sub(r"\s", "_", text)


def _channel_number(channel: str) -> int:
    return int(channel) if channel.isdigit() else 2 if channel == "right" else 1


def _confidence(row: SegmentPrediction) -> str:
    values = row.probabilities
    return "<NA>" if not values else f"{max(values.values()):.3f}"


def _label(row: SegmentPrediction) -> str:
    """Return the answer with its probability, such as ``angry 0.93``."""
    values = row.probabilities
    return row.answer if not values else f"{row.answer} {max(values.values()):.2f}"


def channels_of(rows: Rows) -> list[str]:
    """Return the channels of rows, in their order."""
    return list(dict.fromkeys(row.channel for row in rows))


def _audacity(rows: Rows, emotions: Emotions, first: bool) -> str:
    """Return labels of Audacity; with several channels, a label starts with its channel."""
    several = len(channels_of(rows)) > 1
    return "".join(
        f"{row.start:.6f}\t{row.end:.6f}\t{f'{row.channel}: ' if several else ''}{_label(row)}\n" for row in rows
    )


def _vtt(rows: Rows, emotions: Emotions, first: bool) -> str:
    """Return captions of WebVTT; with several channels, a caption names its channel as the voice."""
    several = len(channels_of(rows)) > 1
    cues = [
        f"{_clock(row.start, digits=3)} --> {_clock(row.end, digits=3)}\n"
        f"{f'<v {row.channel}>' if several else ''}{_escaped(_label(row))}\n"
        for row in rows
    ]
    return "WEBVTT\n\n" + "\n".join(cues)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _textgrid(rows: Rows, emotions: Emotions, first: bool) -> str:
    """Return a TextGrid of Praat with one tier per channel, whose overlapping windows end where the next one starts."""
    end = max(row.duration for row in rows)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    channels = channels_of(rows)
    lines += ["tiers? <exists>", f"size = {len(channels)}", "item []:"]
    for number, channel in enumerate(channels, 1):
        intervals = _intervals([row for row in rows if row.channel == channel], end=end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{channel}"']
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(intervals)}"]
        for index, (start, stop, label) in enumerate(intervals, 1):
            lines += [f"        intervals [{index}]:", f"            xmin = {start:.6f}"]
            quoted = label.replace('"', '""')
            lines += [f"            xmax = {stop:.6f}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def _intervals(rows: Rows, *, end: float) -> list[tuple[float, float, str]]:
    """Return consecutive intervals from 0 to ``end``, with empty ones between the segments."""
    ordered = sorted(rows, key=lambda row: row.start)
    stops = np.minimum([row.end for row in ordered], [*(row.start for row in ordered[1:]), end])
    intervals, now = [], 0.0
    for row, stop in zip(ordered, stops.tolist(), strict=True):
        if row.start > now:
            intervals.append((now, row.start, ""))
        if stop > row.start:
            intervals.append((row.start, stop, _label(row)))
        now = max(now, stop)
    return [*intervals, (now, end, "")] if end > now else intervals


FORMATS = {
    output_format.name: output_format
    for output_format in (
        Format(
            "csv",
            ".csv",
            lambda rows, emotions, first: csv_text([_csv_row(row, emotions) for row in rows]),
            start=lambda emotions: csv_text([[*COLUMNS, *emotions, "warnings"]]),
        ),
        Format("json", ".json", _json, start=lambda emotions: "[\n", end="\n]\n"),
        Format("jsonl", ".jsonl", lambda rows, emotions, first: json_lines([plain_row(row) for row in rows])),
        Format(
            "audformat",
            ".audformat.csv",
            _audformat,
            start=lambda emotions: csv_text([["file", "start", "end", "prediction", *emotions]]),
        ),
        Format("rttm", ".rttm", _rttm),
        Format("textgrid", ".TextGrid", _textgrid, document=True),
        Format("audacity", ".txt", _audacity, document=True),
        Format("vtt", ".vtt", _vtt, document=True),
    )
}
# The formats that can hold prediction sets, with them.
WITH_SETS = {
    "csv": replace(
        FORMATS["csv"],
        rows=lambda rows, emotions, first: csv_text([_csv_row(row, emotions, sets=True) for row in rows]),
        start=lambda emotions: csv_text([[*COLUMNS, *emotions, "set_size", "set", "warnings"]]),
    ),
    "json": replace(FORMATS["json"], rows=partial(_json, sets=True)),
    "jsonl": replace(
        FORMATS["jsonl"], rows=lambda rows, emotions, first: json_lines([plain_row(row, sets=True) for row in rows])
    ),
}
