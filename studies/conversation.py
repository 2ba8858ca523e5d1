"""Concatenate test clips of a run to a conversation, and count the utterances and emotions that ser-predict finds.

``python -m studies.conversation RUN CORPUS_ROOT`` takes test clips of a finished run in random order, joins them, and
predicts the result with the defaults of ``ser-predict``.

- A change point is the end of a clip where the next one begins. It is found if the middle between two consecutive
  segments is at most the tolerance away from it.
- The label of a clip is that of the segment with which it shares the longest time.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

import ser_lightning as ser
from ser_lightning.predict.defaults import VAD, VADS
from ser_lightning.predict.segment import SegmentPrediction

RATE = 16000
TOLERANCES = (0.25, 0.5, 1.0)  # seconds


class Clip(NamedTuple):
    """A clip: its emotion, the label predicted for it alone, and its start and end in the conversation in seconds."""

    emotion: str
    alone: str
    start: float
    end: float


def conversation(
    classifier: "ser.Classifier", run: Path, root: Path, *, subset: str, clips: int
) -> tuple[np.ndarray, list[Clip]]:
    """Return clips of a run as one recording at 16 kHz, and the clips."""
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subset"] == subset]
    paths = {path.stem: path for path in root.rglob("*") if path.suffix in (".flac", ".wav")}
    order = np.random.default_rng(0).permutation(len(rows))[:clips]
    waves, spans, now = [], [], 0
    for row in (rows[index] for index in order):
        wave, rate = soundfile.read(paths[row["utterance"]], dtype="float32", always_2d=True)
        alone = classifier.predict(wave, rate).label
        mono = soxr.resample(wave.mean(axis=1), rate, RATE)
        waves.append(mono)
        spans.append(Clip(row["target"], alone, now / RATE, (now + len(mono)) / RATE))
        now += len(mono)
    return np.concatenate(waves), spans


def count_changes(clips: Sequence[Clip], segments: Sequence[SegmentPrediction], *, tolerance: float) -> dict[str, int]:
    """Count the change points, those that are found, and the boundaries between segments that are none."""
    true = np.array([clip.end for clip in clips[:-1]])
    middles = [(before.end + after.start) / 2 for before, after in pairwise(segments)]
    near = np.abs(true[:, None] - np.array(middles)[None]) <= tolerance
    return {
        "change points": len(true),
        "found": int(near.any(1).sum()),
        "other boundaries": int((~near.any(0)).sum()),
    }


def labels_of(clips: Sequence[Clip], segments: Sequence[SegmentPrediction]) -> list[str]:
    """Return the label of each clip: that of the segment with which it shares the longest time."""
    shared = [[min(clip.end, segment.end) - max(clip.start, segment.start) for segment in segments] for clip in clips]
    return [segments[int(np.argmax(times))].answer for times in shared]


def measure(run: Path, root: Path, *, subset: str, clips: int, vad: str) -> dict[str, object]:
    """Return the figures of a run."""
    classifier = ser.load(run / "checkpoints" / "best.ckpt")
    wave, parts = conversation(classifier, run, root, subset=subset, clips=clips)
    segments = classifier.segments(wave, RATE, vad=vad)
    labels = labels_of(parts, segments)
    return {
        "clips": len(parts),
        "minutes": round(len(wave) / RATE / 60, 1),
        "segments": len(segments),
        "changes": {f"{seconds:g} s": count_changes(parts, segments, tolerance=seconds) for seconds in TOLERANCES},
        "accuracy": round(float(np.mean([a == clip.emotion for a, clip in zip(labels, parts, strict=True)])), 4),
        "accuracy of the clips alone": round(float(np.mean([clip.alone == clip.emotion for clip in parts])), 4),
        "same label as alone": round(
            float(np.mean([a == clip.alone for a, clip in zip(labels, parts, strict=True)])), 4
        ),
    }


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("root", type=Path, help="folder of its corpus")
    parser.add_argument("--clips", type=int, default=200, help="number of clips")
    parser.add_argument("--subset", default="test", choices=("val", "test"), help="subset of the clips")
    parser.add_argument("--vad", default=VAD, choices=VADS, help="detector of speech")
    options = parser.parse_args()
    figures = measure(options.run, options.root, subset=options.subset, clips=options.clips, vad=options.vad)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
