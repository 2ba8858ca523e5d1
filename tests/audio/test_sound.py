"""Reading of recordings in all formats: by libsndfile, in blocks, and through FFmpeg."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_lightning.audio import ffmpeg
from ser_lightning.audio.ffmpeg import open_ffmpeg
from ser_lightning.audio.folder import list_audio_files
from ser_lightning.audio.reader import read_audio
from ser_lightning.audio.sound import open_sound
from ser_lightning.errors import InputError

RATE = 16000
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")


def tone(seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(RATE * seconds)) / RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(path, tone(), RATE)
    return path


def encode(source: Path, target: Path, *options: str) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", source, *options, f"file:{target}"], check=True)


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [
        ("a.opus", "OGG", "OPUS"),
        ("a.oga", "OGG", "VORBIS"),
        ("a.caf", "CAF", "PCM_16"),
        ("a.w64", "W64", "PCM_24"),
        ("a.aifc", "AIFF", "FLOAT"),
        ("a.rf64", "RF64", "PCM_16"),
        ("a.mp2", "MP3", None),
        ("a.sph", "NIST", "PCM_16"),
        ("a.au", "AU", "ULAW"),
        ("a.voc", "VOC", "PCM_16"),
    ],
)
def test_folder_and_blocks_include_every_format_of_libsndfile(tmp_path, name, kind, subtype):
    wave = np.stack([tone(5.0), -tone(5.0)], axis=1)
    soundfile.write(tmp_path / name, wave, RATE, format=kind, subtype=subtype)
    assert list_audio_files(tmp_path) == ([tmp_path / name], [])
    whole, rate = read_audio(tmp_path / name)
    assert np.abs(whole[:100, 0] + whole[:100, 1]).max() < 0.05
    with open_sound(tmp_path / name) as sound:
        blocks = list(sound.blocks)
    assert (sound.rate, sound.channels, len(blocks) > 1) == (rate, 2, True)
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("-x.m4a", []),
        ("a:b%d 'c'.mp4", []),
        ("a.webm", ["-c:a", "libopus"]),
        ("a.aac", []),
        ("a.wma", []),
        ("a.3gp", ["-c:a", "aac"]),
        ("a.mkv", []),
        ("http:a.mov", []),
    ],
)
def test_ffmpeg_decodes_files_of_any_name(wav, tmp_path, monkeypatch, name, options):
    encode(wav, tmp_path / name, *options)
    monkeypatch.chdir(tmp_path)
    wave, rate = read_audio(name)
    assert wave.dtype == np.float32
    assert wave.shape[1] == 1
    assert abs(len(wave) / rate - 1) < 0.15  # encoders pad
    middle = wave[rate // 4 : 3 * rate // 4, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(spectrum.argmax() * rate / len(middle) - 440) < 4
    part, _ = read_audio(name, start=0.25, end=0.5, channel=0)
    np.testing.assert_array_equal(part, wave[rate // 4 : rate // 2])


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.webm", ["-c:a", "libopus"]), ("a.aac", []), ("a.m4a", ["-movflags", "+faststart"])],
)
def test_part_of_a_cut_file_is_decoded_and_its_damage_noted(tmp_path, name, options):
    soundfile.write(tmp_path / "a.wav", tone(5.0), RATE)
    encode(tmp_path / "a.wav", tmp_path / name, *options)
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes((tmp_path / name).read_bytes()[: (tmp_path / name).stat().st_size * 6 // 10])
    for path, seconds, reasons in ((tmp_path / name, (4.9, 5.2), 0), (cut, (1.5, 4.0), 1)):
        with open_sound(path) as sound:
            decoded = sum(map(len, sound.blocks)) / sound.rate
        assert seconds[0] < decoded < seconds[1]
        assert len(sound.damage) == reasons
        assert all(re.fullmatch(r"FFmpeg: [A-Za-z ]+", reason) for reason in sound.damage)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "start", "frame", "rate"),
    [("a.amr", b"#!AMR\n", b"\x3c" + 31 * b"\x5a", 8000), ("a.awb", b"#!AMR-WB\n", b"\x14" + 32 * b"\x5a", 16000)],
)
def test_amr_files_are_decoded_and_their_damage_noted(tmp_path, name, start, frame, rate):
    path = tmp_path / name
    path.write_bytes(start + 50 * frame)  # of 20 ms; any bits after the first byte are sound
    with open_sound(path) as sound:
        wave = np.concatenate(list(sound.blocks))
        assert (sound.rate, sound.damage, wave.shape) == (rate, [], (rate, 1))
    assert np.abs(wave).max() > 0.01
    path.write_bytes((start + 50 * frame)[:-5])
    with open_sound(path) as sound:
        assert sum(map(len, sound.blocks)) == 0.98 * rate
        assert len(sound.damage) == 1
    path.write_bytes(start)
    with pytest.raises(InputError, match="contains no samples"):
        read_audio(path)


@needs_ffmpeg
def test_frames_that_cannot_be_decoded_become_silence(tmp_path):
    speech, broken = b"\x3c" + 31 * b"\x5a", b"\x7c"
    (tmp_path / "a.amr").write_bytes(b"#!AMR\n" + 50 * speech + 25 * broken + 50 * speech)
    with open_sound(tmp_path / "a.amr") as sound:
        wave = np.concatenate(list(sound.blocks))[:, 0]
    assert len(wave) == 2.5 * 8000
    assert np.abs(wave[9000:11000]).max() < 0.01
    assert np.abs(wave[13000:]).max() > 0.01


@needs_ffmpeg
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_file_without_its_last_page_is_noted(tmp_path, subtype):
    path = tmp_path / "clip.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 96000), 48000, format="OGG", subtype=subtype)
    with open_sound(path) as sound:
        assert sum(map(len, sound.blocks)) == 96000
        assert sound.damage == []
    path.write_bytes(path.read_bytes()[:-5000])
    with open_sound(path) as sound:
        assert 0 < sum(map(len, sound.blocks)) < 96000
        assert len(sound.damage) == 1


@needs_ffmpeg
def test_ffmpeg_reads_no_file_that_a_playlist_names(wav, tmp_path):
    encode(wav, tmp_path / "a.aac")
    for text in ("#EXTM3U\n#EXTINF:1\na.aac\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile a.aac\n"):
        (tmp_path / "list.m4a").write_text(text)
        with pytest.raises(InputError, match=r"cannot read .*list\.m4a as audio: FFmpeg: Invalid"):
            read_audio(tmp_path / "list.m4a")


@needs_ffmpeg
def test_film_without_sound_is_named(tmp_path):
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=duration=1", "-an", tmp_path / "a.mp4"],
        check=True,
    )
    with pytest.raises(InputError, match=r"a\.mp4 holds no sound"):
        read_audio(tmp_path / "a.mp4")


def program(folder: Path, script: str) -> str:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(folder)


def test_missing_ffmpeg_is_named_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"sound")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_audio_files(tmp_path)[0] == [tmp_path / "a.m4a"]
    with pytest.raises(InputError, match=r"a\.m4a needs FFmpeg.*apt install ffmpeg"):
        read_audio(tmp_path / "a.m4a")


def test_slow_decoder_is_ended_by_the_time_limit(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"sound")
    monkeypatch.setenv("PATH", program(tmp_path, "exec /bin/sleep 60"))
    monkeypatch.setattr(ffmpeg, "WAIT_S", 0.2)
    with pytest.raises(InputError, match="to decode"), open_ffmpeg(tmp_path / "a.m4a"):
        pass


def test_endless_output_is_read_up_to_the_limit(tmp_path, monkeypatch):
    """A small file can decode to any number of samples."""
    (tmp_path / "a.m4a").write_bytes(b"sound")
    header = r"printf '.snd\000\000\000\030\377\377\377\377\000\000\000\006\000\000\037\100\000\000\000\001'"
    monkeypatch.setenv("PATH", f"{program(tmp_path, f'{header}; exec /bin/cat /dev/zero')}")
    with pytest.raises(InputError, match="expected at most 3600 s"):
        read_audio(tmp_path / "a.m4a")


def test_unread_sound_and_pointers_of_git_lfs_are_named(wav, tmp_path):
    shutil.copy(wav, tmp_path / "a.wav")
    (tmp_path / "b.rm").write_bytes(b"film")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "c.flac").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    paths, problems = list_audio_files(tmp_path)
    assert [path.name for path in paths] == ["a.wav", "c.flac"]
    assert [problem.split()[0] for problem in problems] == [str(tmp_path / "b.rm")]
    with pytest.raises(InputError, match="git lfs pull"):
        read_audio(tmp_path / "c.flac")
