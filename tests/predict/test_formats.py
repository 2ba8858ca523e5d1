"""Formats of predictions, read back by the programs that users have."""

import csv
import io
import json

import audformat
import pandas as pd
import parselmouth
import pytest
from parselmouth.praat import call

from ser_lightning.errors import InputError
from ser_lightning.predict.certainty import Certainty
from ser_lightning.predict.formats import FORMATS
from ser_lightning.predict.segment import NO_SPEECH, SegmentPrediction
from ser_lightning.predict.summary import summarize

EMOTIONS = ("angry", 'so "so"')
CERTAINTY = Certainty(emotions=EMOTIONS, temperature=None)


def row(start, end, share=0.9, *, channel="mono", speech=1.0, path="a b.wav"):
    values = None if share is None else dict(zip(EMOTIONS, (share, 1 - share), strict=True))
    answer = NO_SPEECH if values is None else max(values, key=values.get)
    return SegmentPrediction(
        path=path,
        channel=channel,
        duration=4000.0,
        start=start,
        end=end,
        speech=speech,
        answer=answer,
        probabilities=values,
        warnings=("doubtful",) if share == 0.2 else (),
    )


ROWS = [row(0.5, 2), row(2.25, 3.0625, 0.2), row(3700.5, 3702, None)]


def text_of(name, rows=ROWS):
    found = FORMATS[name]
    return (
        found.start(EMOTIONS) + found.rows(rows[:1], EMOTIONS, True) + found.rows(rows[1:], EMOTIONS, False) + found.end
    )


def test_tables_agree():
    table = list(csv.DictReader(io.StringIO(text_of("csv"))))
    array = json.loads(text_of("json"))
    assert [json.loads(line) for line in text_of("jsonl").splitlines()] == array
    for line, found in zip(table, array, strict=True):
        assert [line["path"], line["channel"], line["prediction"]] == ["a b.wav", "mono", found["prediction"]]
        assert [float(line[name]) for name in ("start", "end", "speech")] == [
            found[name] for name in ("start", "end", "speech")
        ]
        shares = found["probabilities"]
        assert [line[name] for name in EMOTIONS] == [f"{shares[name]:.6f}" if shares else "" for name in EMOTIONS]
    assert [line["warnings"] for line in table] == ["", "doubtful", ""]


def test_audformat_reads_its_segments(tmp_path):
    (tmp_path / "segments.csv").write_text(text_of("audformat"))
    table = pd.read_csv(tmp_path / "segments.csv")
    index = audformat.segmented_index(table.file, pd.to_timedelta(table.start), pd.to_timedelta(table.end))
    audformat.assert_index(index)
    assert index[1] == ("a b.wav", pd.Timedelta(2.25, "s"), pd.Timedelta(3.0625, "s"))
    assert table.prediction.tolist() == ["angry", 'so "so"', NO_SPEECH]
    with pytest.raises(InputError, match="have no channel"):
        text_of("audformat", [row(0, 1, channel="left"), row(0, 1, channel="right")])


def test_rttm_has_ten_fields():
    lines = [line.split(" ") for line in text_of("rttm").splitlines()]
    assert {len(line) for line in lines} == {10}
    assert lines[1] == ["SPEAKER", "a_b.wav", "1", "2.250", "0.812", "<NA>", "<NA>", 'so_"so"', "0.800", "<NA>"]


def test_praat_reads_the_textgrid(tmp_path):
    path = tmp_path / "a.TextGrid"
    rows = [*ROWS, row(1, 3, channel="right")]
    path.write_text(FORMATS["textgrid"].rows(rows, EMOTIONS, True), encoding="utf-8")
    grid = parselmouth.read(str(path))
    assert (call(grid, "Get number of tiers"), call(grid, "Get end time")) == (2, 4000)
    assert call(grid, "Get number of intervals", 1) == 7
    labels = [call(grid, "Get label of interval", 1, n + 1) for n in range(7)]
    assert labels == ["", "angry 0.90", "", 'so "so" 0.80', "", NO_SPEECH, ""]
    assert call(grid, "Get start time of interval", 1, 4) == 2.25
    assert call(grid, "Get tier name", 2) == "right"


def test_overlapping_windows_end_where_the_next_one_starts(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(FORMATS["textgrid"].rows([row(0, 3), row(1, 4), row(2, 5)], EMOTIONS, True))
    grid = parselmouth.read(str(path))
    assert [call(grid, "Get start time of interval", 1, n) for n in (1, 2, 3, 4)] == [0, 1, 2, 5]


def test_labels_and_captions():
    both = [row(0.5, 2), row(3700.5, 3702, None, channel="right")]
    labels = FORMATS["audacity"].rows(both, EMOTIONS, True).splitlines()
    assert labels == ["0.500000\t2.000000\tmono: angry 0.90", "3700.500000\t3702.000000\tright: no speech"]
    cues = FORMATS["vtt"].rows(ROWS, EMOTIONS, True).split("\n\n")
    assert cues[0] == "WEBVTT"
    assert cues[3] == "01:01:40.500 --> 01:01:42.000\nno speech\n"


def test_summary_weighs_segments_by_their_speech():
    rows = [
        row(0, 2, 0.9, speech=3),
        row(2, 4, 0.2, speech=1),
        row(5, 6, None, speech=0),
        row(0, 9, 0.2, channel="right"),
    ]
    left, right = summarize(rows, CERTAINTY)
    assert left.probabilities["angry"] == pytest.approx((3 * 0.9 + 0.2) / 4)
    assert (left.answer, left.start, left.end, left.speech) == ("angry", 0, 4000, 4)
    assert left.warnings == ("doubtful",)
    assert (right.channel, right.answer) == ("right", 'so "so"')
    windows = summarize([row(at, at + 3, speech=1.5) for at in range(10)], CERTAINTY)
    assert windows[0].speech == pytest.approx(6)  # half of the 12 s that the windows cover
    (silent,) = summarize([row(0, 1, None), row(1, 2, None)], CERTAINTY)
    assert (silent.answer, silent.probabilities) == (NO_SPEECH, None)
