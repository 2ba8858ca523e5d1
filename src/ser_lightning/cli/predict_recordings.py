"""Predict the emotion probabilities of recordings and write them as CSV or JSON."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ser_lightning.build import build
from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.cli.checkpoint_config import config_of, require_parts
from ser_lightning.cli.inputs import find_recordings, report_failures
from ser_lightning.cli.settings import require_int
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.errors import InputError
from ser_lightning.output import Output, Sink, check_output, expand_user, json_lines
from ser_lightning.progress import show_progress

CSV, JSON, JSON_LINES = ".csv", ".json", ".jsonl"
FRAMES = 2**17  # maximum frames per batch with padding; one long recording would pad 256 clips to gigabytes
DIGITS = 6  # decimal places of a probability


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one recording.

    Args:
        path: path of the recording
        emotion: the most probable emotion
        probabilities: emotion -> probability, in class order

    """

    path: str
    emotion: str
    probabilities: dict[str, float]


def predict_recordings(
    inputs: Sequence[str],
    *,
    model: str | None,
    output: str,
    settings: Sequence[str],
    json: bool,
    trust: Sequence[str] = (),
) -> int:
    """Write the probabilities of each recording and return the exit code.

    Args:
        inputs: audio files and folders
        model: path of the checkpoint
        output: where to write
        settings: changes to the config of the checkpoint, each ``key=value``
        json: write JSON Lines to standard output, a device or a pipe
        trust: packages of the user whose classes the checkpoint may name

    Raises:
        InputError: the checkpoint, a setting, the output or an input is invalid

    """
    if model is None:
        raise InputError("--model is missing; give --model <run folder>/checkpoints/best.ckpt")
    formats = (JSON_LINES, JSON) if json else (CSV, JSON, JSON_LINES)
    target = check_output(output, formats=formats, default=JSON_LINES if json else CSV)
    model = expand_user(model)
    recordings, failures = find_recordings(inputs)
    target.check_differs([model, *(recording.path for recording in recordings)])
    checkpoint = read_checkpoint(model, trust=trust)
    # Not applicable here: "checkpoint" selects which checkpoint is reported, and prediction is always in eval mode.
    config = config_of(checkpoint, model, settings, without=("checkpoint", "evaluation"))
    require_parts(config, ("model", "audio", "features", "data", "threads"), model)
    torch.set_num_threads(require_int("threads", config["threads"], least=1))
    network = rebuild_model(replace(checkpoint, config=config), path=model)
    audio, extract = (build(part, config[part], trust=trust) for part in ("audio", "features"))
    batch_size = require_int("data.batch_size", config["data"].get("batch_size"), least=1)

    total, done = len(recordings) + len(failures), 0
    batch: list[tuple[Path, np.ndarray]] = []
    with Table(target, checkpoint.emotions) as table:
        for recording in show_progress("recordings")(recordings, len(recordings)):
            try:
                clip = recording.path, extract(audio.load(recording.path).wave)
            except InputError as error:
                failures.append(str(error))
                continue
            if batch and (len(batch) == batch_size or _padded([*batch, clip]) > FRAMES):
                table.write(_classify(network, batch, checkpoint.emotions))
                done, batch = done + len(batch), []
            batch.append(clip)
        if batch:
            table.write(_classify(network, batch, checkpoint.emotions))
            done += len(batch)
    if done:
        print(f"{done} of {total} recordings: {target.name}", file=sys.stderr)
    return report_failures("ser-predict", failures, total=total)


class Table:
    """Writer of predictions in the format of an output, which is opened at the first write.

    Args:
        output: where to write
        emotions: all emotions, in class order

    """

    def __init__(self, output: Output, emotions: Sequence[str]) -> None:
        self.output = output
        self.emotions = emotions
        self.stack = ExitStack()
        self.sink: Sink | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.sink is not None and error[0] is None and self.output.format == JSON:
            self.sink.write("\n]\n")
        self.stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Append predictions to the output."""
        first = self.sink is None
        if self.sink is None:
            self.sink = self.stack.enter_context(self.output.open())
        self.sink.write(self._text(predictions, first=first))

    def _text(self, predictions: Sequence[Prediction], *, first: bool) -> str:
        if self.output.format == CSV:
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            if first:
                writer.writerow(["path", "prediction", *self.emotions])
            for found in predictions:
                digits = [f"{value:.{DIGITS}f}" for value in found.probabilities.values()]
                writer.writerow([found.path, found.emotion, *digits])
            return text.getvalue()
        rows: list[dict[str, Any]] = [
            {"path": found.path, "prediction": found.emotion, "probabilities": found.probabilities}
            for found in predictions
        ]
        if self.output.format == JSON_LINES:
            return json_lines(rows)
        return ("[\n" if first else ",\n") + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _padded(clips: Sequence[tuple[Path, np.ndarray]]) -> int:
    """Return the number of frames of a batch of clips, including padding."""
    longest: int = max(len(matrix) for _, matrix in clips)
    return len(clips) * longest


@torch.inference_mode()
def _classify(
    model: torch.nn.Module, clips: Sequence[tuple[Path, np.ndarray]], emotions: Sequence[str]
) -> list[Prediction]:
    lengths = np.array([len(matrix) for _, matrix in clips])
    dataset = FeatureDataset(
        frames=np.concatenate([matrix for _, matrix in clips]),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=np.zeros(len(clips), dtype=np.int64),
        utterances=[str(path) for path, _ in clips],
    )
    features, frames, *_ = dataset.__getitems__(list(range(len(clips))))
    probabilities = model(features, frames).double().softmax(1)
    return [
        Prediction(
            # File names need not be valid UTF-8: invalid bytes are written as escapes.
            path=str(path).encode("utf-8", "backslashreplace").decode(),
            emotion=emotions[int(values.argmax())],
            probabilities=dict(zip(emotions, (round(value, DIGITS) for value in values.tolist()), strict=True)),
        )
        for (path, _), values in zip(clips, probabilities, strict=True)
    ]
