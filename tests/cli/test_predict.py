"""ser-predict on recordings as users have them."""

import csv
import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.cli.conftest import RATE, probabilities, rows_of
from tests.conftest import settings, without_calibration
from tests.zoo import call

from ser_lightning.labels import RAVDESS


def test_every_recording_of_a_folder_is_predicted_or_named(predict, wave, tmp_path):
    for name, kind, subtype in (
        ("a.wav", "WAV", "PCM_16"),
        ("b.oga", "OGG", "VORBIS"),
        ("c.opus", "OGG", "OPUS"),
        ("d.caf", "CAF", "PCM_16"),
        ("e.w64", "W64", "PCM_16"),
        ("f.aifc", "AIFF", "PCM_16"),
    ):
        soundfile.write(tmp_path / name, wave, RATE, format=kind, subtype=subtype)
    (tmp_path / "g.m4a").write_bytes(b"\0\0\0 ftypM4A \0\0\0\0M4A mp42isom" + bytes(1000))
    (tmp_path / "h.webm").write_bytes(b"\x1aE\xdf\xa3" + bytes(1000))
    (tmp_path / "i.rm").write_bytes(b"film")
    (tmp_path / "notes.txt").write_text("text")
    done = predict(tmp_path)
    assert done.code == 3
    rows = rows_of(done)
    assert [Path(row["path"]).name for row in rows] == ["a.wav", "b.oga", "c.opus", "d.caf", "e.w64", "f.aifc"]
    assert probabilities(rows[0]) == probabilities(rows[3]) == probabilities(rows[4]) == probabilities(rows[5])
    left_out = [line for line in done.err.splitlines() if "left out" in line]
    assert len(left_out) == 3
    for name in ("g.m4a", "h.webm", "i.rm"):
        assert sum(name in line for line in left_out) == 1
    assert "6 of 9 recordings" in done.err


def test_silence_and_hiss_hold_no_speech(predict, wave, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(48000 * 3), 48000)
    soundfile.write(tmp_path / "hiss.wav", 0.003 * np.random.default_rng(0).standard_normal(48000 * 3), 48000)
    soundfile.write(tmp_path / "long.wav", np.zeros(RATE * 20), RATE)
    done = predict(tmp_path / "silence.wav", tmp_path / "hiss.wav", tmp_path / "long.wav")
    assert done.code == 0, done.err
    for row in rows_of(done):
        assert row["prediction"] == "no speech"
        assert {row[name] for name in RAVDESS} == {""}
        assert float(row["speech"]) < 0.3
    (found,) = [json.loads(line) for line in predict(tmp_path / "hiss.wav", "--json").out.splitlines()]
    assert (found["prediction"], found["probabilities"]) == ("no speech", None)
    (asked,) = rows_of(predict(tmp_path / "hiss.wav", "--min-speech", "0"))
    assert sum(probabilities(asked)) == pytest.approx(1, abs=1e-5)


def test_channels_are_mixed_down_by_their_mean_unless_asked(predict, wave, tmp_path):
    other = np.roll(wave[::-1], 500)
    for name, samples in {
        "mono": wave[:, None],
        "dual": np.stack([wave, wave], 1),
        "left": np.stack([wave, 0 * wave], 1),
        "canceled": np.stack([0.5 * wave, -wave * 0.49], 1),
        "two": np.stack([wave, other], 1),
        "mixed": (wave + other)[:, None] / 2,
        "other": other[:, None],
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")

    def found(name, *words):
        done = predict(tmp_path / f"{name}.wav", *words)
        assert done.code == 0, done.err
        return {row["channel"]: row for row in rows_of(done)}

    mono = found("mono")["mono"]
    assert probabilities(found("dual")["mean"]) == probabilities(mono)
    assert found("left")["mean"]["prediction"] == mono["prediction"]
    canceled = found("canceled")
    assert list(canceled) == ["left"]
    assert "cancel" in canceled["left"]["warnings"]
    assert not mono["warnings"]
    assert probabilities(found("two")["mean"]) == pytest.approx(probabilities(found("mixed")["mono"]), abs=1e-5)
    each = found("two", "--channels", "each")
    assert list(each) == ["left", "right"]
    assert probabilities(each["left"]) == probabilities(mono)
    assert probabilities(each["right"]) == probabilities(found("other")["mono"])
    assert found("two", "--channels", "right")["right"] == found("two", "--channels", "2")["right"] == each["right"]
    done = predict(tmp_path / "two.wav", "--channels", "3")
    assert (done.code, "2 channels" in done.err) == (1, True)
    assert "expected mean, left, right, each" in predict(tmp_path / "two.wav", "--channels", "middle").err


def test_conversation_is_divided_into_its_utterances(predict, conversation, synthetic_root):
    path, middles = conversation
    rows = rows_of(predict(path))
    spans = [(float(row["start"]), float(row["end"])) for row in rows]
    assert [sum(start < middle < end for start, end in spans) for middle in middles] == [1] * len(middles)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert not any("lasts" in row["warnings"] for row in rows)
    assert all(0 < float(row["speech"]) <= end - start + 0.02 for row, (start, end) in zip(rows, spans, strict=True))


@pytest.mark.skipif(find_spec("silero_vad") is None, reason="silero-vad (extra silero) is not installed")
def test_silero_finds_the_utterances_and_measures_their_speech(predict, conversation, clip):
    path, middles = conversation
    rows = rows_of(predict(path, "--vad", "silero"))
    spans = [(float(row["start"]), float(row["end"])) for row in rows]
    assert [sum(start < middle < end for start, end in spans) for middle in middles] == [1] * len(middles)
    for row, (start, end) in zip(rows, spans, strict=True):
        frames = float(row["speech"]) / 0.032
        assert frames == pytest.approx(round(frames), abs=0.02)
        assert 0.3 <= float(row["speech"]) < end - start + 0.032
    (own,), (webrtc,) = (rows_of(predict(clip, "--vad", vad)) for vad in ("silero", "webrtc"))
    assert probabilities(own) == probabilities(webrtc)  # the model gets the same samples
    assert own["speech"] != webrtc["speech"]
    wrong = predict(clip, "--vad", "silent")
    assert (wrong.code, wrong.out, "webrtc or silero" in wrong.err) == (1, "", True)


def test_windows_and_whole(predict, conversation):
    path, _ = conversation
    seconds = soundfile.info(path).duration
    rows = rows_of(predict(path, "--window", "3", "--hop", "2"))
    assert [float(row["start"]) for row in rows[:3]] == [0, 2, 4]
    assert {round(float(row["end"]) - float(row["start"]), 3) for row in rows} == {3.0}
    assert float(rows[-1]["end"]) == pytest.approx(seconds, abs=1e-3)
    (whole,) = rows_of(predict(path, "--whole"))
    assert (float(whole["start"]), float(whole["end"])) == (0, pytest.approx(seconds, abs=1e-3))
    assert "at once" in whole["warnings"]
    assert predict(path, "--whole", "--window", "3").code == 1
    assert predict(path, "--window", "1", "--hop", "2").code == 1


def test_short_recording_is_predicted_as_in_training(command, clip, trained, tmp_path):
    model = without_calibration(trained / "checkpoints" / "best.ckpt", tmp_path)  # as predictions.csv is written
    (row,) = rows_of(command("predict", str(clip), "--model", str(model)))
    (whole,) = rows_of(command("predict", str(clip), "--model", str(model), "--whole"))
    assert row == whole
    with (trained / "predictions.csv").open() as file:
        expected = next(r for r in csv.DictReader(file) if r["utterance"] == clip.stem)
    assert probabilities(row) == pytest.approx(probabilities(expected), abs=2e-6)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")
def test_rows_of_a_cut_file_say_how_much_was_decoded(predict, conversation, tmp_path):
    path, _ = conversation
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, tmp_path / "whole.webm"], check=True)
    content = (tmp_path / "whole.webm").read_bytes()
    (tmp_path / "cut.webm").write_bytes(content[: len(content) // 2])
    rows = rows_of(predict(tmp_path))
    cut = [row for row in rows if Path(row["path"]).name == "cut.webm"]
    assert len(cut) < len(rows)
    assert [row for row in rows if "damaged" in row["warnings"]] == cut
    (decoded,) = {float(re.search(r"damaged: ([0-9.]+) s", row["warnings"])[1]) for row in cut}
    assert max(float(row["end"]) for row in cut) - 0.1 <= decoded < soundfile.info(path).duration


def test_offset_beyond_the_end_is_named(predict, clip):
    done = predict(clip, *settings("audio.offset_s=300"))
    assert (done.code, done.out) == (1, "")
    assert "too short" in done.err
    assert rows_of(predict(clip, *settings("audio.offset_s=0"))) == rows_of(predict(clip))


@pytest.mark.parametrize("change", ["features.n_fft=256", "audio.sampling_rate=8000", "audio=untrimmed_48k"])
def test_trained_values_change_only_by_force(predict, clip, change):
    refused = predict(clip, *settings(change))
    assert (refused.code, refused.out) == (1, "")
    assert "--force" in refused.err
    (row,) = rows_of(predict(clip, *settings(change), "--force"))
    key = "audio.sampling_rate" if change.startswith("audio") else "features.n_fft"
    assert key in row["warnings"]
    assert not rows_of(predict(clip, *settings("audio.vad_mode=3")))[0]["warnings"]


@pytest.mark.real
def test_no_answer_of_the_released_weights_depends_on_its_neighbors(command, reference_root, tmp_path):
    model = tmp_path / "released.ckpt"
    assert command("import_weights", f"{reference_root}/model.pt", "--output", str(model)).code == 0
    clips = sorted((reference_root / "test_audio").rglob("*.flac"))[:112]
    assert len(clips) == 112
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in clips:
        shutil.copy(path, folder)
    words = ("--model", str(model), *settings("audio.vad_mode=null"), "--min-speech", "0")
    together = rows_of(command("predict", str(folder), *words))
    for row in together[::8]:
        (alone,) = rows_of(command("predict", row["path"], *words))
        assert alone["prediction"] == row["prediction"]
        assert probabilities(alone) == pytest.approx(probabilities(row), abs=1e-6)
    assert len(together) == 112


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(wave, trained, tmp_path):
    peaks = []
    for minutes in (40, 80):  # both longer than what is read ahead at most: 2**24 samples, 35 minutes
        samples = np.resize(np.concatenate([wave[::2], np.zeros(8000, np.float32)]), minutes * 60 * 8000)
        soundfile.write(tmp_path / "meeting.flac", samples, 8000)
        words = (f"{tmp_path}/meeting.flac", "--model", f"{trained}/checkpoints/best.ckpt")
        done = call("ser-predict", *words, "--output", f"{tmp_path}/{minutes}.csv", cwd=tmp_path)
        assert done.code == 0, done.err
        peaks.append(done.peak)
    last = (tmp_path / "80.csv").read_text().splitlines()[-1].split(",")
    assert float(last[3]) > 79.9 * 60
    assert peaks[1] - peaks[0] < 64 * 2**20


def test_loudness_is_normalized_to_the_level_of_the_training_clips(predict, wave, tmp_path):
    for name, gain in (("a", 1.0), ("quiet", 0.02)):
        soundfile.write(tmp_path / f"{name}.wav", gain * wave, RATE, subtype="FLOAT")
    words = ("--normalize-loudness", "--min-speech", "0")
    done = predict(tmp_path / "a.wav", tmp_path / "quiet.wav", *words)
    assert done.code == 0, done.err
    first, second = rows_of(done)
    assert probabilities(first) == pytest.approx(probabilities(second), abs=1e-4)
    (plain,) = rows_of(predict(tmp_path / "quiet.wav", "--min-speech", "0"))
    assert probabilities(plain) != pytest.approx(probabilities(second), abs=1e-3)
