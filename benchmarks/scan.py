"""Measure how long the scan of a large table takes: ``python -m benchmarks.scan``.

Every size is measured in its own process, on short generated recordings: rows a second without the hashes of the audio,
seconds of the hashes, and the peak memory of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from unittest.mock import patch

import numpy as np

from ser_lightning.corpora.audio_files import sha256
from ser_lightning.corpora.table import TableCorpus

SIZES = (1_000, 10_000, 100_000, 150_000)
FILES_PER_FOLDER = 1000


def write_corpus(folder: Path, count: int) -> Path:
    """Write recordings of 0.1 s and their table."""
    generator = np.random.default_rng(0)
    lines = ["path,emotion,speaker,gender"]
    for number in range(count):
        name = f"{number // FILES_PER_FOLDER}/{number}.wav"
        if number % FILES_PER_FOLDER == 0:
            (folder / name).parent.mkdir()
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(generator.integers(-3000, 3000, 800, dtype=np.int16).tobytes())
        lines.append(f"{name},{('happy', 'sad')[number % 2]},s{number % 500},{('female', 'male')[number % 2]}")
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "table.csv"


def measure(table: Path) -> dict[str, float]:
    """Scan a table; return the number of rows, seconds and gigabytes."""
    hashing = 0.0

    def timed(path: Path) -> str:
        nonlocal hashing
        start = time.perf_counter()
        digest = sha256(path)
        hashing += time.perf_counter() - start
        return digest

    start = time.perf_counter()
    corpus = TableCorpus(
        name="scan",
        path=str(table),
        root=None,
        columns={},
        labels=None,
        raters=None,
        ties="drop",
        genders=None,
        separator=None,
        decimal="point",
        encoding="utf-8",
        on_problem="error",
        follow_links=False,
        downmix="mean",
        merge=None,
    )
    with patch("ser_lightning.corpora.rows.sha256", timed):
        count = len(corpus.scan().utterances)
    seconds = time.perf_counter() - start - hashing
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"rows": count, "scan_seconds": seconds, "hash_seconds": hashing, "peak_gb": peak}


def main() -> None:
    """Measure every size and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=Path, metavar="TABLE", help="measure one table; used by itself")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of rows")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    for count in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            table = write_corpus(Path(folder), count)
            command = [sys.executable, "-m", "benchmarks.scan", "--one", str(table)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this module
            print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
