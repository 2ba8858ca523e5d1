"""Write predictions as CSV, JSON or JSON Lines."""

import csv
import io
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

from ser_lightning.output import Output, Sink, json_lines
from ser_lightning.predict.segment import SegmentPrediction

CSV, JSON, JSON_LINES = ".csv", ".json", ".jsonl"
DIGITS = 6  # decimal places of a probability
COLUMNS = ("path", "channel", "start", "end", "speech", "prediction")


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

    def write(self, predictions: Sequence[SegmentPrediction]) -> None:
        """Append predictions to the output."""
        if not predictions:
            return
        first = self.sink is None
        if self.sink is None:
            self.sink = self.stack.enter_context(self.output.open())
        self.sink.write(self._text(predictions, first=first))

    def _text(self, predictions: Sequence[SegmentPrediction], *, first: bool) -> str:
        if self.output.format == CSV:
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            if first:
                writer.writerow([*COLUMNS, *self.emotions, "warnings"])
            for found in predictions:
                values = found.probabilities
                digits = [f"{values[name]:.{DIGITS}f}" if values else "" for name in self.emotions]
                times = [f"{seconds:.3f}" for seconds in (found.start, found.end, found.speech)]
                writer.writerow([found.path, found.channel, *times, found.answer, *digits, "; ".join(found.warnings)])
            return text.getvalue()
        rows = [_row(found) for found in predictions]
        if self.output.format == JSON_LINES:
            return json_lines(rows)
        return ("[\n" if first else ",\n") + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _row(found: SegmentPrediction) -> dict[str, Any]:
    values = found.probabilities
    return {
        "path": found.path,
        "channel": found.channel,
        "start": round(found.start, 3),
        "end": round(found.end, 3),
        "speech": round(found.speech, 3),
        "prediction": found.answer,
        "probabilities": values and {name: round(value, DIGITS) for name, value in values.items()},
        "warnings": list(found.warnings),
    }
