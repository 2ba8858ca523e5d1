"""Write predictions as CSV, JSON or JSON Lines."""

import csv
import io
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

from ser_lightning.output import Output, Sink, json_lines
from ser_lightning.predict.recordings import DIGITS, Prediction

CSV, JSON, JSON_LINES = ".csv", ".json", ".jsonl"


class PredictionWriter:
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
