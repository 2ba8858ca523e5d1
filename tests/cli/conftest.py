"""Recordings for the tests of ser-predict."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from tests.conftest import Outcome

from ser_lightning.labels import RAVDESS

RATE = 16000


def rows_of(done: Outcome) -> list[dict]:
    return list(csv.DictReader(io.StringIO(done.out)))


def probabilities(row: dict) -> list[float]:
    return [float(row[name]) for name in RAVDESS]


@pytest.fixture
def predict(command, trained):
    """Run ser-predict with the trained checkpoint."""
    model = f"{trained}/checkpoints/best.ckpt"
    return lambda *words: command("predict", *map(str, words), "--model", model)


@pytest.fixture(scope="module")
def clip(synthetic_root, trained) -> Path:
    with (trained / "predictions.csv").open() as file:
        evaluated = {row["utterance"] for row in csv.DictReader(file)}
    return min(path for path in synthetic_root.rglob("*.flac") if path.stem in evaluated)


@pytest.fixture(scope="module")
def wave(clip) -> np.ndarray:
    samples, rate = soundfile.read(clip, dtype="float32")
    return soxr.resample(samples, rate, RATE)


@pytest.fixture(scope="module")
def conversation(synthetic_root, trained, tmp_path_factory) -> tuple[Path, list[float]]:
    """A recording of 24 clips with a pause of a second after each, and the middle of each clip in seconds."""
    pause, parts, middles, now = np.zeros(RATE, np.float32), [], [], 0
    for clip in sorted(synthetic_root.rglob("*.flac"))[:24]:
        samples, rate = soundfile.read(clip, dtype="float32")
        samples = soxr.resample(samples, rate, RATE)
        middles.append((now + len(samples) / 2) / RATE)
        parts += [samples, pause]
        now += len(samples) + len(pause)
    path = tmp_path_factory.mktemp("conversation") / "conversation.wav"
    soundfile.write(path, np.concatenate(parts), RATE)
    return path, middles
