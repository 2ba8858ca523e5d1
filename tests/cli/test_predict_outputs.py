"""Outputs of ser-predict: formats, summaries and timelines."""

import base64
import csv
import io
import re
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
from tests.cli.conftest import probabilities, rows_of


def test_formats_follow_the_ending_or_the_option(predict, conversation, clip, tmp_path):
    path, _ = conversation
    starts = {
        "a.csv": "path,channel",
        "a.json": "[\n",
        "a.jsonl": '{"path"',
        "a.audformat.csv": "file,start,end,prediction",
        "a.rttm": "SPEAKER ",
        "a.TextGrid": 'File type = "ooTextFile"',
        "a.txt": "0.",
        "a.vtt": "WEBVTT",
    }
    for name, start in starts.items():
        done = predict(path, "--output", tmp_path / name)
        assert (done.code, done.out) == (0, ""), done.err
        assert (tmp_path / name).read_text().startswith(start)
    piped = predict(path, "--format", "vtt")
    assert piped.out == (tmp_path / "a.vtt").read_text()
    assert predict(path, "-o", tmp_path / "labels.x", "--format", "audacity").code == 0
    assert (tmp_path / "labels.x").read_text() == (tmp_path / "a.txt").read_text()
    (tmp_path / "real.vtt").write_text("old")
    (tmp_path / "link.vtt").symlink_to("real.vtt")
    assert predict(path, "-o", tmp_path / "link.vtt").code == 0
    assert (tmp_path / "link.vtt").is_symlink()
    assert (tmp_path / "real.vtt").read_text() == piped.out


def test_documents_of_several_recordings_are_put_into_a_folder(predict, conversation, clip, tmp_path):
    path, _ = conversation
    done = predict(path, clip, "-o", tmp_path / "out", "--format", "textgrid")
    assert done.code == 0, done.err
    assert {file.name for file in (tmp_path / "out").iterdir()} == {f"{path.name}.TextGrid", f"{clip.name}.TextGrid"}
    for output in (f"{tmp_path}/all.vtt", "/proc/x.vtt", "-"):
        refused = predict(path, clip, "-o", output, "--format", "vtt")
        assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert predict(path, "-o", tmp_path).code == 1  # a folder for a table
    assert "expected one of csv, json" in predict(path, "--format", "srt").err


def test_summary_has_one_row_per_recording(predict, conversation, clip):
    path, _ = conversation
    rows = rows_of(predict(path, clip, "--summary"))
    assert [row["path"] for row in rows] == [str(path), str(clip)]
    assert probabilities(rows[1]) == probabilities(rows_of(predict(clip))[0])
    parts = rows_of(predict(path))
    shares = np.average([probabilities(row) for row in parts], axis=0, weights=[float(row["speech"]) for row in parts])
    assert probabilities(rows[0]) == pytest.approx(shares.tolist(), abs=1e-5)


def test_timeline_is_a_picture_and_a_page_that_needs_no_other_file(predict, conversation, tmp_path):
    source, _ = conversation
    path = tmp_path / "<b>&'x'.wav"
    shutil.copy(source, path)
    stereo = tmp_path / "two.wav"
    wave, rate = soundfile.read(source)
    soundfile.write(stereo, np.stack([wave, wave[::-1]], 1)[: 20 * rate], rate)
    done = predict(path, stereo, "--channels", "each", "--timeline", tmp_path / "out", "-o", tmp_path / "a.csv")
    assert done.code == 0, done.err
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"{each.name}{ending}" for each in (path, stereo) for ending in (".png", ".html")
    }
    picture = plt.imread(tmp_path / "out" / f"{stereo.name}.png")
    assert picture.shape[1] == 1440
    assert len(np.unique(picture[:, :, :3].reshape(-1, 3), axis=0)) > 20
    page = (tmp_path / "out" / f"{path.name}.html").read_text()
    with (tmp_path / "a.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["path"] == str(path)]
    assert page.count("<button") == page.count("<tr data-start") == len(rows)
    assert "<b>&'x'" not in page
    assert "default-src 'none'" in page
    assert not re.search('https?://|src="(?!data:)', page)
    audio = base64.b64decode(re.search('base64,([^"]*)', page)[1])
    assert soundfile.info(io.BytesIO(audio)).duration == pytest.approx(soundfile.info(path).duration, abs=0.2)
    assert predict(path, "--timeline", tmp_path / "one.png").code == 0
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    refused = predict(path, stereo, "--timeline", tmp_path / "two.png")
    assert (refused.code, (tmp_path / "two.png").exists()) == (1, False)
    assert predict(path, "--timeline", "/proc/x").code == 1
