"""Write predictions in any format: a table of all recordings, or a document per recording."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol, Self

from ser_lightning.output import Output, Sink
from ser_lightning.predict.formats import Format
from ser_lightning.predict.segment import SegmentPrediction


class Writer(Protocol):
    """Writes predictions; a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...

    def write(self, predictions: Sequence[SegmentPrediction]) -> None:
        """Write predictions, whose recordings come one after another."""
        ...


class TableWriter:
    """Writer of a table of all recordings, which is opened at the first write.

    Args:
        output: where to write
        format: a format that is no document
        emotions: all emotions, in class order

    """

    def __init__(self, output: Output, format: Format, emotions: Sequence[str]) -> None:  # noqa: A002
        self.output = output
        self.format = format
        self.emotions = emotions
        self.stack = ExitStack()
        self.sink: Sink | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.sink is not None and error[0] is None:
            self.sink.write(self.format.end)
        self.stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, predictions: Sequence[SegmentPrediction]) -> None:
        """Append predictions to the output."""
        if not predictions:
            return
        first = self.sink is None
        if self.sink is None:
            self.sink = self.stack.enter_context(self.output.open())
        start = self.format.start(self.emotions) if first else ""
        self.sink.write(start + self.format.rows(predictions, self.emotions, first))


class DocumentWriter:
    """Writer of one document per recording, when the recording is complete.

    Args:
        outputs: path of a recording as text -> where to write its document
        make: text of the document of a recording, or its bytes, from all its predictions

    """

    def __init__(
        self, outputs: Mapping[str, Output], make: Callable[[Sequence[SegmentPrediction]], str | bytes]
    ) -> None:
        self.outputs = outputs
        self.make = make
        self.rows: list[SegmentPrediction] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._finish()

    def write(self, predictions: Sequence[SegmentPrediction]) -> None:
        """Take predictions, and write the recordings that they complete."""
        for row in predictions:
            if self.rows and row.path != self.rows[0].path:
                self._finish()
            self.rows.append(row)

    def _finish(self) -> None:
        if self.rows:
            self.outputs[self.rows[0].path].write(self.make(self.rows))
        self.rows = []


def write_through(
    batches: Iterable[Sequence[SegmentPrediction]], writers: Sequence[Writer]
) -> Iterator[Sequence[SegmentPrediction]]:
    """Yield batches of predictions after writing them."""
    for batch in batches:
        for writer in writers:
            writer.write(batch)
        yield batch
