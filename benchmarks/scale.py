"""Measure how the work on a corpus grows with its size: ``python -m benchmarks.scale``.

Every size and step is measured in its own process, on generated recordings of 0.3 s: the scan of the table without the
hashes of the audio, the hashes, the feature cache of ``features=logmel`` with one and with two workers, the contents of
the audio and the search for near duplicates, and the data card. Processor times do not depend on other work on the
machine as much as wall times do. Of the memory of this process, files that it maps count apart, because the operating
system reclaims them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser_lightning.assemble import assemble_preparation
from ser_lightning.build import config_folder
from ser_lightning.corpora.audio_files import sha256
from ser_lightning.data.content import cached_contents
from ser_lightning.data.preparation import Preparation
from ser_lightning.data_card.clip_audio import measure_clips
from ser_lightning.data_card.describe import describe_corpus
from ser_lightning.data_card.page import write_card
from ser_lightning.splits.near_duplicates import near_duplicates

SIZES = (1_000, 10_000, 100_000)
STEPS = ("scan", "cache1", "cache2", "duplicates", "card")
FILES_PER_FOLDER = 1000
RATE = 16_000
SAMPLED = 0.05  # seconds between two samples of the memory
MELODY = (0, 0.1, 0.2, 0.3)  # seconds of the points between which the pitch glides


def write_corpus(folder: Path, count: int) -> Path:
    """Write recordings of 0.3 s, each with a melody of its own and noise, and their table."""
    lines = ["path,emotion,speaker,gender"]
    seconds = np.arange(round(0.3 * RATE)) / RATE
    for number in range(count):
        generator = np.random.default_rng(number)
        phase = 2 * np.pi * np.cumsum(np.interp(seconds, MELODY, generator.uniform(80, 300, len(MELODY)))) / RATE
        tone = generator.uniform(500, 3000, 7) @ np.sin(np.arange(1, 8)[:, np.newaxis] * phase)
        name = f"{number // FILES_PER_FOLDER}/{number}.wav"
        (folder / name).parent.mkdir(exist_ok=True)
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((tone + generator.normal(0, 300, len(tone))).astype(np.int16).tobytes())
        lines.append(f"{name},{('happy', 'sad')[number % 2]},s{number % 500},{('female', 'male')[number % 2]}")
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "table.csv"


class Timed:
    """A function with the processor time that its calls took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        start = processor_seconds()
        try:
            return self.function(*arguments)
        finally:
            self.seconds += processor_seconds() - start


class PeakMemory(threading.Thread):
    """The most anonymous memory of this process while the thread runs, GB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.gb, self.done = 0.0, threading.Event()

    def run(self) -> None:
        """Sample the memory until ``done`` is set."""
        while not self.done.wait(SAMPLED):
            lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
            status = dict(line.split(":", 1) for line in lines)
            self.gb = max(self.gb, int(status["RssAnon"].split()[0]) / 2**20)


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def preparation(table: Path, cache: str, workers: int) -> Preparation:
    """Return the preparation of a run on the table."""
    words = ["corpus=table", f"corpus.path={table}", "experiment=corrected", "audio=untrimmed", "augment=none"]
    words += [f"data.feature_cache={cache}", f"data.feature_workers={workers}", "run_id=scale"]
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config: dict[str, Any] = OmegaConf.to_container(compose("train", overrides=words), resolve=True)  # type: ignore[assignment]
    return assemble_preparation(config, progress=lambda results, _: results)


def make_card(data: Preparation, folder: str) -> None:
    """Write the data card of the scanned table."""
    audio, contents = measure_clips(
        data.utterances, folder=Path(folder), workers=data.feature_workers, progress=lambda results, _: results
    )
    name, emotions = data.corpus.name, data.corpus.emotions
    card = describe_corpus(data.utterances, data.problems, name=name, emotions=emotions, audio=audio, contents=contents)
    write_card(card, Path(folder))


def measure(step: str, table: Path) -> dict[str, float]:
    """Measure one step; return its seconds, its processor seconds and the peak memory in GB."""
    memory = PeakMemory()
    memory.start()
    with tempfile.TemporaryDirectory() as cache:
        data = preparation(table, cache, workers=1 if step == "cache1" else 2)
        hashes, search = Timed(sha256), Timed(near_duplicates)
        with patch("ser_lightning.corpora.rows.sha256", hashes):
            start, before = time.perf_counter(), processor_seconds()
            data.scan()
        if step != "scan":
            start, before = time.perf_counter(), processor_seconds()
        with patch("ser_lightning.data.content.near_duplicates", search):
            if step.startswith("cache"):
                data.prepare()
            elif step == "duplicates":
                cached_contents(data.utterances, folder=Path(cache), workers=2, progress=lambda results, _: results)
            elif step == "card":
                make_card(data, cache)
    memory.done.set()
    processor = processor_seconds() - before
    apart = {"scan": hashes.seconds, "duplicates": search.seconds, "card": search.seconds}.get(step, 0.0)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "wall": time.perf_counter() - start,
        "processor": processor - apart,
        "apart": apart,
        "gb": peak / 2**20,
        "gb_without_mapped_files": memory.gb,
    }


def main() -> None:
    """Measure every size and step, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("STEP", "TABLE"), help="measure one step; used by itself")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of rows")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="what to measure")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], Path(arguments.one[1]))))
        return
    for count in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            table = write_corpus(Path(folder), count)
            for step in arguments.steps:
                command = [sys.executable, "-m", "benchmarks.scale", "--one", step, str(table)]
                process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this module
                figures = json.loads(process.stdout.splitlines()[-1])
                print(count, step, {key: round(value, 2) for key, value in figures.items()}, flush=True)


if __name__ == "__main__":
    main()
