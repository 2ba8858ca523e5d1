"""Predict the emotion probabilities of recordings and write them as CSV or JSON."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import torch

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.cli.checkpoint_config import config_of, require_parts
from ser_lightning.cli.inputs import find_recordings, report_failures
from ser_lightning.cli.settings import require_int
from ser_lightning.errors import InputError
from ser_lightning.output import Output, Sink, check_output, expand_user, json_lines
from ser_lightning.predict.recordings import DIGITS, Prediction, Predictor
from ser_lightning.progress import show_progress

CSV, JSON, JSON_LINES = ".csv", ".json", ".jsonl"


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
    batch_size = require_int("data.batch_size", config["data"].get("batch_size"), least=1)
    predictor = Predictor(checkpoint, config, path=model, batch_size=batch_size)

    total, done = len(recordings) + len(failures), 0
    paths = show_progress("recordings")([recording.path for recording in recordings], len(recordings))
    with Table(target, checkpoint.emotions) as table:
        for predictions in predictor.predict(paths, on_failure=failures.append):
            table.write(predictions)
            done += len(predictions)
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
