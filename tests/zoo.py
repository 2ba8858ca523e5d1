"""Invalid and unusual audio files, for tests of ser-predict and ser-prepare.

``python -m tests.zoo docs/reliability.md`` writes the outcomes; ``tests/test_zoo.py`` compares them with the expected
outcomes given here.
"""

import csv
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import printable

RATE = 16000
BIN = Path(sys.executable).parent
USED = "used"


class Specimen(NamedTuple):
    """A file and its expected outcome.

    Args:
        name: file name, possibly with a folder
        what: description of what is wrong or unusual
        make: writes the file
        predict: ``USED``, or part of the reason that ser-predict gives for leaving it out
        prepare: expected outcome of ser-prepare, which reads the content under a RAVDESS clip name; None: as predict

    """

    name: str
    what: str
    make: Callable[[Path], object]
    predict: str = USED
    prepare: str | None = None


def voice(name: str, *, rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """Synthesize a vowel-like sound with a pitch derived from the name, since duplicate contents are refused."""
    pitch = 90 + zlib.crc32(os.fsencode(name)) % 10**6 / 10**4
    if seconds > 60:  # faster for long files
        return np.tile(voice(name, rate=rate, seconds=60), round(seconds / 60))
    time = np.arange(max(1, round(rate * seconds))) / rate
    harmonics = [np.sin(2 * np.pi * pitch * k * time) * np.exp(-abs(pitch * k - 600) / 500) for k in range(1, 25)]
    return (0.1 * np.sum(harmonics, axis=0) * (1 + 0.5 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def pcm(path: Path, seconds: float = 1.0) -> bytes:
    return (voice(path.name, seconds=seconds) * 32767).astype("<i2").tobytes()


def riff(
    data: bytes,
    *,
    rate: int = RATE,
    channels: int = 1,
    riff_size: int | None = None,
    data_size: int | None = None,
) -> bytes:
    """Return a 16-bit WAV file with the given header fields, which may be wrong."""
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 & 0xFFFFFFFF, channels * 2 & 0xFFFF, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(data) if data_size is None else data_size) + data
    return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def raw(change: Callable[[bytes], bytes] = lambda data: data, **header: int) -> Callable[[Path], object]:
    """Return a function that writes a WAV file with the given header fields and then changes its bytes."""
    return lambda path: path.write_bytes(change(riff(pcm(path), **header)))


def written(
    *,
    kind: str = "WAV",
    subtype: str | None = None,
    rate: int = RATE,
    seconds: float = 1.0,
    channels: int = 1,
    keep: float = 1.0,
    change: Callable[[np.ndarray], np.ndarray] = lambda wave: wave,
) -> Callable[[Path], object]:
    """Return a function that writes a file with libsndfile and keeps its first part (``keep``)."""

    def make(path: Path) -> None:
        wave = change(np.repeat(voice(path.name, rate=rate, seconds=seconds)[:, None], channels, axis=1))
        content = io.BytesIO()
        soundfile.write(content, wave, rate, format=kind, subtype=subtype)
        path.write_bytes(content.getvalue()[: round(len(content.getvalue()) * keep)])

    return make


def spoilt(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(wave: np.ndarray) -> np.ndarray:
        wave[len(wave) // 2] = value
        return wave

    return change


def endless_flac(path: Path) -> None:
    """Write a FLAC of one second whose header claims 2^36 - 1 samples."""
    written(kind="FLAC")(path)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # number of samples: low half of this byte and the next four
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)


def silent_flac(path: Path) -> None:
    """Write a FLAC with two hours of silence, of a few kilobytes."""
    with soundfile.SoundFile(path, "w", 4000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(8):
            file.write(np.zeros(900 * 4000, np.int16))


def unreadable(path: Path) -> None:
    written()(path)
    path.chmod(0)


def named_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the length of a socket's path is limited
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


NONE = "is not a regular file"
CUT = "is truncated"
# Unusual contents. ser-predict reads them under this name, ser-prepare under the name of a RAVDESS clip.
CONTENTS = [
    Specimen("empty.wav", "0 bytes", lambda path: path.touch(), "empty file"),
    Specimen("header_only.wav", "a header of no samples", raw(lambda b: b[:44], data_size=0), "contains no samples"),
    Specimen("header_lies.wav", "a header that claims a second, and nothing after it", raw(lambda b: b[:44]), CUT),
    Specimen("half_header.wav", "20 bytes of a header", raw(lambda b: b[:20]), "cannot read"),
    Specimen("cut.wav", "cut off in the samples", raw(lambda b: b[:20000]), CUT),
    Specimen("cut.flac", "a FLAC cut off in the middle", written(kind="FLAC", keep=0.5), "cannot read"),
    Specimen("cut.aiff", "an AIFF cut off in the middle", written(kind="AIFF", keep=0.5), CUT),
    Specimen("cut.mp3", "an MP3 cut off in the middle", written(kind="MP3", keep=0.5), CUT),
    Specimen("cut.ogg", "an OGG cut off in the middle", written(kind="OGG", keep=0.5), "cannot read"),
    Specimen(
        "sizes_4_gib.wav", "both sizes 0xFFFFFFFF, as a pipe writes", raw(riff_size=2**32 - 1, data_size=2**32 - 1)
    ),
    Specimen("claims_1_gib.wav", "a header that claims 1 GiB of samples", raw(data_size=2**30), CUT),
    Specimen(
        "no_size.wav", "samples after a header that claims none", raw(riff_size=0, data_size=0), "contains no samples"
    ),
    Specimen("riff_size_small.wav", "a RIFF size of 10", raw(riff_size=10)),
    Specimen("riff_size_large.wav", "a RIFF size of 1 GB", raw(riff_size=10**9)),
    Specimen("data_size_small.wav", "a data size of half the samples: the header is believed", raw(data_size=16000)),
    Specimen("claims_2_36.flac", "a FLAC header that claims 68719476735 samples", endless_flac, "claims 68719476735"),
    Specimen("two_hours.flac", "a FLAC of 2 h of silence in kilobytes", silent_flac, USED, "expected at most 3600 s"),
    Specimen("no_channels.wav", "0 channels", raw(channels=0), "Channel count is zero"),
    Specimen("channels_30000.wav", "30000 channels", raw(channels=30000), "Too many channels"),
    Specimen("rate_0.wav", "a rate of 0 Hz", raw(rate=0), "cannot read"),
    Specimen("rate_1_ghz.wav", "a rate of 1 GHz", raw(rate=10**9), "a sampling rate of 1000000000 Hz"),
    Specimen("nan.wav", "a sample that is NaN", written(subtype="FLOAT", change=spoilt(np.nan)), "NaN, infinite"),
    Specimen("inf.wav", "a sample that is infinite", written(subtype="FLOAT", change=spoilt(np.inf)), "NaN, infinite"),
    Specimen("loud.wav", "a sample of 1e30", written(subtype="FLOAT", change=spoilt(1e30)), "beyond 32-bit integers"),
    Specimen("zeros.wav", "all zeros", written(change=np.zeros_like)),
    Specimen("dc.wav", "a constant", written(change=lambda wave: np.full_like(wave, 0.5))),
    Specimen("clipped.wav", "clipped at full scale", written(change=np.sign)),
    Specimen("one_sample.wav", "one sample", raw(lambda b: b[:46], data_size=2)),
    Specimen("10_ms.wav", "10 ms", written(seconds=0.01)),
    Specimen("10_minutes.wav", "10 minutes", written(seconds=600)),
    Specimen("8_bit.wav", "8 bit", written(subtype="PCM_U8")),
    Specimen("24_bit.wav", "24 bit", written(subtype="PCM_24")),
    Specimen("32_bit.wav", "32 bit", written(subtype="PCM_32")),
    Specimen("float_32.wav", "32-bit float", written(subtype="FLOAT")),
    Specimen("float_64.wav", "64-bit float", written(subtype="DOUBLE")),
    Specimen("a_law.wav", "A-law", written(subtype="ALAW")),
    Specimen("mu_law.wav", "µ-law", written(subtype="ULAW")),
    Specimen("adpcm.wav", "IMA ADPCM", written(subtype="IMA_ADPCM")),
    Specimen("6_channels.wav", "6 channels", written(channels=6)),
    *(Specimen(f"{rate}.wav", f"{rate / 1000:g} kHz", written(rate=rate)) for rate in (8000, 11025, 22050, 44100)),
    *(Specimen(f"{rate}.wav", f"{rate / 1000:g} kHz", written(rate=rate)) for rate in (96000, 192000)),
    Specimen("big_endian.aiff", "an AIFF, big-endian", written(kind="AIFF")),
    Specimen("au.wav", "Sun's AU under another ending", written(kind="AU")),
    Specimen("mp3.wav", "an MP3 under another ending", written(kind="MP3")),
    Specimen("ogg.wav", "an OGG under another ending", written(kind="OGG")),
    Specimen("text.wav", "text", lambda path: path.write_text("no sound\n" * 100), "Format not recognised"),
    Specimen("page.wav", "HTML", lambda path: path.write_text("<!DOCTYPE html><p>404"), "Format not recognised"),
    Specimen("noise.wav", "random bytes", lambda p: p.write_bytes(np.random.default_rng(0).bytes(9999)), "cannot read"),
    Specimen("folder.wav", "a folder", lambda path: path.mkdir(), NONE, "a folder with the name of an audio file"),
    Specimen("nowhere.wav", "a link to nothing", lambda p: p.symlink_to("none"), "No such file", "a link to nothing"),
    Specimen("loop.wav", "a link to itself", lambda path: path.symlink_to(path.name), "symbolic", "a link to nothing"),
    Specimen(
        "device.wav", "a link to /dev/zero", lambda p: p.symlink_to("/dev/zero"), NONE, "a link out of the folder"
    ),
    Specimen("pipe.wav", "a FIFO that nobody writes", os.mkfifo, NONE, "not a regular file"),
    Specimen("socket.wav", "a socket", named_socket, NONE, "not a regular file"),
    Specimen("no_right.wav", "a file without the right to read it", unreadable, "Permission denied"),
]

ODD = "not a file name of RAVDESS"
CLIP = "03-01-05-01-01-01-01"
# Unusual names of files with valid speech.
NAMES = [
    Specimen("with spaces .wav", "spaces", written(), USED, ODD),
    Specimen("two\nlines.wav", "a line break", written(), USED, ODD),
    Specimen("речь 話し声.wav", "other alphabets", written(), USED, ODD),
    Specimen(os.fsdecode(b"bytes\xff.wav"), "bytes that are no UTF-8", written(), USED, ODD),
    Specimen('a "quoted", name.wav', "quotes and a comma", written(), USED, ODD),
    Specimen("[bold]markup[/bold].wav", "a terminal's markup", written(), USED, ODD),
    Specimen("--help.wav", "an option", written(), USED, ODD),
    Specimen("n" * 250 + ".wav", "254 letters", written(), USED, ODD),
    Specimen("03-01-05-01-01-02-01.WAV", "an upper-case ending", written(), USED, USED),
    Specimen("03-01-09-01-01-01-01.wav", "emotion 09", written(), USED, "wrong emotion: got 09"),
    Specimen("03-01-05-01-01-01-25.wav", "actor 25", written(), USED, "wrong speaker: got 25"),
    Specimen("03-01-05-01-01-01.wav", "six fields", written(), USED, ODD),
    Specimen("3-1-5-1-1-1-1.wav", "fields of one digit", written(), USED, ODD),
    Specimen("03-01-01-02-01-01-01.wav", "strong neutral", written(), USED, "not one of the 1440 published recordings"),
    Specimen("03-02-05-01-01-01-01.wav", "a song", written(), USED, "wrong vocal_channel: got 02, expected 01"),
    Specimen(f"Actor_02/{CLIP}.wav", "in another actor's folder", written(), USED, "folder of another speaker"),
    Specimen(
        "linked_folder",
        "a link to a folder elsewhere",
        lambda p: p.symlink_to("/usr"),
        "is a link to a folder",
        "link to a folder",
    ),
]


class Ended(NamedTuple):
    """Exit code, output and memory use of a command.

    Args:
        code: exit code
        out: standard output
        err: standard error
        peak: peak memory in bytes

    """

    code: int
    out: str
    err: str
    peak: int


# Drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, so that file permissions also apply to root. Peak memory is measured
# in this small process, because a fork of pytest would start with the memory of pytest.
LAUNCHER = """
import ctypes, resource, subprocess, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
for capability in (1, 2):
    if prctl is not None:
        prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def call(command: str, *words: str, cwd: Path) -> Ended:
    """Run a command without root's capability to read everything.

    Raises:
        TimeoutExpired: the command hangs

    """
    with tempfile.NamedTemporaryFile("r") as peak:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, peak.name, BIN / command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
        )
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Ended(process.returncode, out.decode(), err.decode(), int(peak.read()) * 1024)


def put(root: Path, specimens: dict[str, Specimen]) -> None:
    """Write each specimen under its key."""
    for name, specimen in specimens.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        specimen.make(path)


def meet_predict(folder: Path, checkpoint: Path) -> tuple[Ended, dict[str, str]]:
    """Run ser-predict on all specimens; return the command's result and the outcome of each specimen by name."""
    specimens = {specimen.name: specimen for specimen in (*CONTENTS, *NAMES)}
    put(folder / "zoo", specimens)
    output = folder / "emotions.csv"
    words = (f"{folder}/zoo", "--model", str(checkpoint), "--output", str(output))
    ended = call("ser-predict", *words, cwd=folder)
    if not output.exists():
        raise AssertionError(ended.err)
    outcomes: dict[str, str] = {}
    with output.open(encoding="utf-8", newline="") as file:
        used_paths = {row["path"] for row in csv.DictReader(file)}
    left_out = re.findall("^ser-predict: left out: (.*)$", ended.err, re.MULTILINE)
    for name in specimens:
        path = str(folder / "zoo" / name)
        if path.encode("utf-8", "backslashreplace").decode() in used_paths:
            outcomes[name] = USED
        for reason in left_out:
            if f"{printable(path)} " in reason:
                outcomes[name] = outcomes.get(name, "") + reason.replace(printable(path), "it")
    return ended, outcomes


def meet_prepare(folder: Path) -> tuple[Ended, dict[str, str]]:
    """Run ser-prepare on all specimens as a corpus; return the same as ``meet_predict``."""
    taken = {Path(specimen.name).stem for specimen in NAMES}
    stems = (
        f"03-01-{e:02}-01-{s:02}-{r:02}-{a:02}" for a, e, s, r in product(range(1, 25), range(2, 9), (1, 2), (1, 2))
    )
    clips = (f"Actor_{stem[-2:]}/{stem}.wav" for stem in stems if stem not in taken)
    place = dict(zip((specimen.name for specimen in CONTENTS), clips, strict=False))
    place |= {specimen.name: specimen.name for specimen in NAMES}
    put(folder / "zoo", {place[specimen.name]: specimen for specimen in (*CONTENTS, *NAMES)})
    words = ("corpus=ravdess", f"corpus.root={folder}/zoo", "corpus.on_problem=skip", "split=random", "augment=none")
    ended = call("ser-prepare", *words, f"data.feature_cache={folder}/cache", f"data_card={folder}/card", cwd=folder)
    (index,) = (folder / "cache").glob("*/index.json")
    stored = {id_ for id_, *_ in json.loads(index.read_text())["rows"]}
    with (folder / "card" / "ravdess" / "refused_and_left_out.csv").open(encoding="utf-8", newline="") as file:
        refused = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    outcomes: dict[str, str] = {}
    for name, file in place.items():
        path = folder / "zoo" / file
        reason = refused.get(printable(file)) or refused.get(printable(path))
        if reason is not None:
            outcomes[name] = reason.replace(printable(path), "it")
        elif path.stem in stored:
            outcomes[name] = USED
    return ended, outcomes


def table(specimens: list[Specimen], *columns: tuple[str, dict[str, str]]) -> str:
    """Return a Markdown table of the outcomes."""
    lines = [
        "| file | what came | " + " | ".join(title for title, _ in columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for specimen in specimens:
        name = printable(specimen.name if len(specimen.name) < 60 else f"{specimen.name[:10]}...")
        cells = [f"`{name}`", specimen.what]
        for _, outcomes in columns:
            outcome = outcomes[specimen.name]
            cells.append(outcome if outcome == USED else f"refused: {outcome.split('; ')[0]}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


HEADING = "## The zoo\n\n"


def main(path: Path) -> None:
    """Run the commands on all specimens and write the tables as the last section of a page."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words = ("corpus=synthetic_small", "split=random", "trainer.max_epochs=1", "data.batch_size=32", "name=zoo")
        trained = call("ser-train", *words, cwd=folder)
        if trained.code:
            sys.exit(trained.err)
        (checkpoint,) = folder.glob("outputs/zoo/*/*/checkpoints/best.ckpt")
        for name in ("predict", "prepare"):
            (folder / name).mkdir()
        predict, predicted = meet_predict(folder / "predict", checkpoint)
        prepare, prepared = meet_prepare(folder / "prepare")
    used = sum(outcome == USED for outcome in predicted.values())
    before = path.read_text(encoding="utf-8").partition(HEADING)[0] if path.exists() else ""
    with write_atomically(path) as file:
        file.write(
            f"{before}{HEADING}Made by `python -m tests.zoo docs/reliability.md`; `tests/test_zoo.py` holds each line"
            " to its outcome.\n\n"
            f"`ser-predict` read them from one folder, used {used}, listed {len(predicted) - used} and ended with"
            f" {predict.code}; `ser-prepare corpus=ravdess corpus.on_problem=skip` met the contents under names of"
            f" clips, ended with a table of what it refused, and with {prepare.code}. The most memory that either took"
            f" was {max(predict.peak, prepare.peak) / 2**30:.1f} GiB.\n\n### Contents\n\n"
        )
        file.write(table(CONTENTS, ("ser-predict", predicted), ("ser-prepare", prepared)))
        file.write("\n### Names\n\nAll hold speech.\n\n")
        file.write(table(NAMES, ("ser-predict", predicted), ("ser-prepare", prepared)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
