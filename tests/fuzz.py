"""Fuzz the readers of external files: ``python -m tests.fuzz 300`` runs for 300 seconds.

Subprocesses with little memory read audio files that hypothesis generates: valid files of every format whose bytes,
mostly in the header, are changed, removed or inserted. A file is counted as a crash, and kept, if it kills or hangs its
process or gives anything but samples or an :class:`~ser_lightning.errors.InputError`. Readers of text files are fuzzed
in the same way but in this process, since they can neither kill nor hang it.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePath

import hypothesis
import numpy as np
import soundfile
from hypothesis import strategies as st

from ser_lightning.audio.audio import Audio
from ser_lightning.audio.reader import read_audio
from ser_lightning.audio.sound import LOUDEST, RATES, SAMPLES, SECONDS
from ser_lightning.corpora.definitions.ravdess import RAVDESS
from ser_lightning.errors import InputError
from ser_lightning.splits.split import Split, read_split

MEMORY = 3 * 2**29  # bytes in addition to the libraries; a header may claim 2^30 bytes of samples before it is detected
HANG = 20  # seconds
ROUND = 1000  # examples per process
LISTEN = ["-m", "tests.fuzz"]
FORMATS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM")),
    *(("WAV", "MS_ADPCM"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16")),
    *(("AIFF", "FLOAT"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")),
    *(("MP3", "MPEG_LAYER_III"), ("NIST", "PCM_16"), ("VOC", "PCM_16"), ("SVX", "PCM_16"), ("PAF", "PCM_16")),
]
INTERESTING = [0, 1, 2, 3, 4, 8, 16, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]


def seeds() -> list[bytes]:
    """Return a short valid file of each format."""
    wave = 0.3 * np.sin(np.arange(960) * 0.1)
    files = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound")  # some formats cannot be written to a buffer
        for kind, subtype in FORMATS:
            soundfile.write(path, np.repeat(wave[:, None], 1 + (kind != "SVX"), 1), 48000, format=kind, subtype=subtype)
            files.append(path.read_bytes())
    return files


@st.composite
def sounds(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """Draw a valid file and change, remove or insert some bytes, mostly in its header."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, min(len(content), 128)) | st.integers(0, len(content)))
        width, order = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from("<>"))
        value = draw(st.sampled_from(INTERESTING) | st.integers(0, 2**32 - 1)) & (1 << 8 * width) - 1
        number = struct.pack(order + {1: "B", 2: "H", 4: "I"}[width], value)
        what = draw(st.sampled_from(("change", "change", "change", "insert", "remove", "cut", "repeat")))
        if what == "change":
            content[place : place + width] = number
        elif what == "insert":
            content[place:place] = draw(st.binary(max_size=16)) or number
        elif what == "remove":
            del content[place : place + draw(st.integers(1, 64))]
        elif what == "cut":
            del content[place:]
        else:
            content[place:place] = content[place : place + draw(st.integers(1, 256))]
    return bytes(content)


AUDIO = Audio(
    sampling_rate=16000, downmix="mean", resampler="soxr", vad_mode=2, frame_ms=20, offset_s=None, duration_s=None
)


def check_message(error: InputError, path: Path) -> None:
    """Check that an error message is one line that names the file."""
    if str(path) not in str(error) or not str(error).isprintable():
        raise AssertionError(f"not one line that names {path}: {error!s}")


def read(path: Path) -> None:
    """Read an audio file and check the samples or the error message."""
    try:
        wave, rate = read_audio(path)
    except InputError as error:
        check_message(error, path)
        return
    assert wave.ndim == 2
    assert 0 < len(wave) <= SECONDS * rate
    assert wave.size <= SAMPLES
    assert RATES[0] <= rate <= RATES[1]
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() <= LOUDEST
    if wave.shape[0] / rate < 60:  # longer clips only take more time
        clip = AUDIO.load(path).wave
        assert len(clip) > 0
        assert np.isfinite(clip).all()


def explore(strategy: st.SearchStrategy, test: Callable[[object], None], *, seed: int, examples: int) -> None:
    """Run ``test`` on ``examples`` examples of ``strategy``."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(strategy)
    def run(value: object) -> None:
        test(value)

    run()


def listen(seed: int, folder: Path, examples: int) -> None:
    """Fuzz the audio reader in this process, with limited memory.

    Every file is written to ``folder`` before it is read, so that it remains there after a crash.
    """
    most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, count = folder / "sound.wav", folder / "count"
    done = 0

    def test(content: object) -> None:
        nonlocal done
        assert isinstance(content, bytes)
        path.write_bytes(content)
        signal.alarm(HANG)  # also ends hangs in C code
        read(path)
        signal.alarm(0)
        done += 1
        count.write_text(str(done))

    explore(sounds(seeds()), test, seed=seed, examples=examples)


# ---------------------------------------------------------------------- texts


def stems(text: object) -> None:
    with contextlib.suppress(InputError):
        assert RAVDESS.parse(PurePath(str(text)))["emotion"]


def manifests(folder: Path) -> Callable[[object], None]:
    path = folder / "split.csv"

    def test(content: object) -> None:
        assert isinstance(content, bytes)
        path.write_bytes(content)
        try:
            split = read_split(path)
        except InputError as error:
            check_message(error, path)
        else:
            assert isinstance(split, Split)
            ids = (*split.train, *split.val, *split.test)
            assert all(isinstance(id_, str) for id_ in ids)
            assert len(set(ids)) == len(ids)

    return test


def results(folder: Path) -> Callable[[object], None]:
    """Return a test of the readers of result.json and predictions.csv."""
    from ser_lightning.report.runs import read_runs
    from ser_lightning.results import read_result

    def test(content: object) -> None:
        assert isinstance(content, tuple)
        for name, data in zip(("result.json", "predictions.csv"), content, strict=True):
            (folder / name).write_bytes(DEEP if data == b"deep" else data)
        for read in (read_runs, read_result):
            try:
                read(folder)
            except InputError as error:
                check_message(error, folder)

    return test


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, -1, "", "test"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DEEP = b'{"digest": ' + b"[" * 100_000
MANIFEST = b"# provenance\nutterance,subset\na,train\nb,val\nc,test\n"


@st.composite
def spoilt_texts(draw: st.DrawFn, text: bytes) -> bytes:
    """Draw a text with some bytes changed, removed or inserted."""
    content = bytearray(text)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        piece = draw(st.binary(max_size=8) | st.sampled_from([b'"', b",", b"\n", b"\0", b"\r", b"train", b"utterance"]))
        content[start : start + draw(st.integers(0, 12))] = piece
    return bytes(content)


@st.composite
def spoilt_runs(draw: st.DrawFn, result: dict, predictions: bytes) -> tuple[bytes, bytes]:
    """Draw result.json and predictions.csv of a run with one value or some bytes changed."""
    what = draw(st.sampled_from(("value", "value", "value", "bytes", "predictions", "deep")))
    content = json.dumps(result).encode()
    if what == "value":
        spoilt = json.loads(content)
        node, depth = spoilt, draw(st.integers(0, 3))
        while True:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if depth == 0 or not isinstance(node[key], dict | list) or not node[key]:
                break
            node, depth = node[key], depth - 1
        if draw(st.booleans()) or isinstance(node, list):
            node[key] = draw(VALUES)
        else:
            del node[key]
        content = json.dumps(spoilt).encode()
    elif what == "bytes":
        content = draw(spoilt_texts(content))
    elif what == "deep":
        content = b"deep"
    else:
        predictions = draw(spoilt_texts(predictions))
    return content, predictions


EMOTIONS = ["neutral", "calm", "happy"]


def good_run() -> tuple[dict, bytes]:
    """Return a valid result.json and predictions.csv."""
    rows = [f"{subset}-{e},01,{subset},{e},{e},1.0,0.0,0.0" for subset in ("val", "test") for e in EMOTIONS]
    predictions = "\n".join(["utterance,speaker,subset,target,prediction," + ",".join(EMOTIONS), *rows, ""])
    eye = [[int(i == j) for j in range(3)] for i in range(3)]
    perfect = {"accuracy": 1.0, "uar": 1.0, "macro_f1": 1.0, "loss": 0.1}
    result = {
        **{"format": 1, "name": "n", "run_id": "r", "seed": 0, "checkpoint": "best", "digest": "digest", "epochs": 1},
        **{"metrics": {subset: dict(perfect) for subset in ("train", "val", "test")}, "emotions": EMOTIONS},
        **{"confusion_matrix": {"val": eye, "test": eye}, "counts": {"train": 3, "val": 3, "test": 3}},
        **{"corpus": {"name": "c", "digest": "d", "utterances": 9, "problems": []}, "choices": {"dropout": "p25"}},
        **{"config": {"seed": 0}, "history": {"val/uar": [1.0]}, "versions": {"torch": "2"}, "git": None},
        **{
            "device": "cpu",
            "parameters": 1,
            "seconds": {"train": 1.0},
            "audit": {"summary": "no leak", "findings": []},
        },
    }
    return result, predictions.encode()


def texts(folder: Path) -> dict[str, tuple[st.SearchStrategy, Callable[[object], None]]]:
    """Return the strategy and the test of each kind of text file."""
    stem = st.text() | st.lists(st.integers(0, 99).map("{:02}".format) | st.text(max_size=3), max_size=8).map("-".join)
    return {
        "stems": (stem, stems),
        "manifests": (spoilt_texts(MANIFEST) | st.binary(), manifests(folder)),
        "results": (spoilt_runs(*good_run()), results(folder)),
    }


def main(seconds: float, keep: Path) -> int:
    """Fuzz for ``seconds``, keep the crashing audio files in ``keep`` and return the number of crashes."""
    end, seed, executions, crashes = time.monotonic() + seconds, int(time.time()), 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        while time.monotonic() < end:
            seed += 1
            (folder / "count").write_text("0")
            words = [sys.executable, *LISTEN, "listen", str(seed), temporary, str(ROUND)]
            done = subprocess.run(
                words,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            executions += int((folder / "count").read_text())
            if done.returncode:
                crashes += 1
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / "sound.wav", keep / f"{seed}.wav")
                print(f"crash {done.returncode}: {keep}/{seed}.wav: {done.stderr[-200:]}", flush=True)
            for name, (strategy, test) in texts(folder).items():
                try:
                    explore(strategy, test, seed=seed, examples=ROUND // 4)
                    executions += ROUND // 4
                except Exception as error:
                    crashes += 1
                    print(f"crash: {name}, seed {seed}: {error!r}", flush=True)
    print(f"executions {executions}, crashes {crashes}")
    return crashes


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen(int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(min(1, main(float(sys.argv[1]), Path("outputs/fuzz"))))
